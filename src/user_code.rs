//! Calls into the program's code: policies, backends, hooks.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

crate::sync::thread_local! {
    /// The managers whose policies or backends this thread is inside of.
    static INSIDE: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };

    // How many they are. It has no destructor, so that nearly every question is answered by one load.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Marks the thread as inside a call of the manager at `address`, until dropped.
///
/// A guard may be released by the destructor of another thread-local value, after this module's has gone. Then
/// nothing is marked: calls back are not refused.
struct Inside;

impl Inside {
    fn begin(address: usize) -> Self {
        mark(|inside| inside.push(address));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        mark(|inside| {
            inside.pop();
        });
    }
}

/// Changes what this thread is inside of, and how many they are.
fn mark(change: impl FnOnce(&mut Vec<usize>)) {
    let depth = INSIDE.try_with(|inside| {
        let mut inside = inside.borrow_mut();
        change(&mut inside);
        inside.len()
    });
    let _gone = DEPTH.try_with(|all| all.set(depth.unwrap_or(0)));
}

crate::sync::thread_local! {
    /// The managers whose reclaimers this thread is inside of.
    static RECLAIMING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks the thread as inside a reclaimer of the manager at `address`, until dropped. There releasing works as elsewhere,
/// since nothing is held, and waiting is refused.
pub(crate) struct Reclaiming(());

impl Reclaiming {
    pub(crate) fn begin(address: usize) -> Self {
        let _gone = RECLAIMING.try_with(|all| all.borrow_mut().push(address));
        Self(())
    }
}

impl Drop for Reclaiming {
    fn drop(&mut self) {
        let _gone = RECLAIMING.try_with(|all| all.borrow_mut().pop());
    }
}

/// Whether this thread may not wait for the manager at `address`: it is inside a call that the manager made.
pub(crate) fn may_not_wait(address: usize) -> bool {
    let reclaiming = RECLAIMING.try_with(|all| all.borrow().contains(&address));
    reclaiming.unwrap_or(false) || is_inside(address)
}

/// Whether this thread is inside a call that the manager at `address` made.
pub(crate) fn is_inside(address: usize) -> bool {
    if DEPTH.try_with(Cell::get).is_ok_and(|depth| depth == 0) {
        return false;
    }
    let inside = INSIDE.try_with(|inside| inside.borrow().contains(&address));
    inside.unwrap_or(false)
}

/// Calls `f` for the manager at `address`; a panic becomes its message.
pub(crate) fn call<R>(address: usize, f: impl FnOnce() -> R) -> Result<R, String> {
    let _inside = Inside::begin(address);
    catch(f)
}

/// Calls `f`; a panic becomes its message.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    // The caller's state is consistent: nothing of the coordinator is borrowed mutably by `f`.
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let message = message(&*payload);
        if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // It panics when dropped; there may be no end to that.
            std::mem::forget(worse);
        }
        message
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
