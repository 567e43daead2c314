//! What Apple's systems say of memory that is short: the kernel's level, asked and told; what this process may still have.

use super::sysctl::{physical_memory, sysctl};
use crate::pressure::PressureLevel;
use crate::system::process::ProcessMemory;
use crate::time::Waker;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

// libSystem, which every program links.
unsafe extern "C" {
    /// A type of dispatch sources: only its address is used.
    static _dispatch_source_type_memorypressure: [u8; 0];
    fn dispatch_source_create(
        kind: *const c_void,
        handle: usize,
        mask: usize,
        queue: *mut c_void,
    ) -> *mut c_void;
    fn dispatch_get_global_queue(identifier: isize, flags: usize) -> *mut c_void;
    fn dispatch_set_context(object: *mut c_void, context: *mut c_void);
    fn dispatch_source_set_event_handler_f(source: *mut c_void, f: extern "C" fn(*mut c_void));
    fn dispatch_source_set_cancel_handler_f(source: *mut c_void, f: extern "C" fn(*mut c_void));
    fn dispatch_source_get_data(source: *mut c_void) -> usize;
    fn dispatch_source_cancel(source: *mut c_void);
    fn dispatch_resume(object: *mut c_void);
    fn dispatch_release(object: *mut c_void);
    fn proc_pid_rusage(pid: c_int, flavor: c_int, buffer: *mut c_void) -> c_int;
    /// iOS 13 and its relatives; not on a Mac.
    #[cfg(any(not(target_os = "macos"), check_apple))]
    fn os_proc_available_memory() -> usize;
}

/// The kernel's words: normal 1, warning 2, critical 4. Its own "urgent" is told as a warning.
fn level_of(word: u32) -> Option<PressureLevel> {
    match word {
        1 => Some(PressureLevel::Normal),
        2 => Some(PressureLevel::Warning),
        4 => Some(PressureLevel::Critical),
        _ => None,
    }
}

/// The kernel's level now, by `kern.memorystatus_vm_pressure_level`; `None` where it may not be asked.
#[must_use]
pub fn vm_pressure_level() -> Option<PressureLevel> {
    let mut word = [0; 4];
    let len = sysctl(c"kern.memorystatus_vm_pressure_level", &mut word)?;
    (len == word.len()).then(|| level_of(u32::from_ne_bytes(word)))?
}

/// What this process has that cannot be taken from it: its `phys_footprint`, by which the system ends processes.
fn phys_footprint() -> Option<u64> {
    /// `RUSAGE_INFO_V0`, which gives a `struct rusage_info_v0`: twelve numbers of 64 bits (an identifier of two, then ten), of
    /// which the tenth is the footprint.
    const V0: c_int = 0;
    let mut info = [0_u64; 12];
    let pid = c_int::try_from(std::process::id()).ok()?;
    // SAFETY: of this flavour the system writes twelve numbers, which the buffer has room for.
    let code = unsafe { proc_pid_rusage(pid, V0, info.as_mut_ptr().cast()) };
    (code == 0 && info[9] > 0).then_some(info[9])
}

/// What this process may have: on a Mac all of the memory, elsewhere what the system says.
pub(in crate::system) fn process_memory() -> Option<ProcessMemory> {
    let used = phys_footprint()?;
    let limit = match process_limit(used) {
        Some(limit) => limit,
        None => physical_memory()?,
    };
    Some(ProcessMemory { used, limit })
}

/// The footprint at which the system ends this process; `None` on a Mac, which has no such limit.
#[cfg(any(not(target_os = "macos"), check_apple))]
fn process_limit(used: u64) -> Option<u64> {
    // SAFETY: takes nothing.
    let left = unsafe { os_proc_available_memory() } as u64;
    // 0 also means that this process has no limit (an extension of the system, a simulator).
    (left > 0).then(|| used.saturating_add(left))
}

#[cfg(not(any(not(target_os = "macos"), check_apple)))]
fn process_limit(_used: u64) -> Option<u64> {
    None
}

#[cfg_attr(
    not(target_vendor = "apple"),
    allow(dead_code, reason = "type-checked alone")
)]
/// The footprint at which the system ends this process, where there is one.
pub(in crate::system) fn own_limit() -> Option<u64> {
    process_limit(phys_footprint()?)
}

/// Changes of the kernel's level, as it tells them, by a dispatch source that lives as long as this.
#[derive(Debug)]
pub struct PressureEvents {
    source: *mut c_void,
    /// Freed by the source's last handler, which comes after it is cancelled.
    context: *const Context,
}

// SAFETY: a dispatch source may be used on any thread, and the context is atomic.
unsafe impl Send for PressureEvents {}

#[derive(Debug)]
struct Context {
    source: *mut c_void,
    last: AtomicU32,
    waker: Waker,
}

impl PressureEvents {
    /// Begins to listen; each event wakes `waker`. `None` where the system has no such source.
    #[must_use]
    pub fn listen(waker: &Waker) -> Option<Self> {
        /// Normal too: without it no recovery is told.
        const ALL: usize = 1 | 2 | 4;
        // SAFETY: the type's address is that of a static; the queue is the system's own and is not released.
        let source = unsafe {
            let kind = (&raw const _dispatch_source_type_memorypressure).cast();
            dispatch_source_create(kind, 0, ALL, dispatch_get_global_queue(0, 0))
        };
        if source.is_null() {
            return None;
        }
        let context = Box::into_raw(Box::new(Context {
            source,
            last: AtomicU32::new(0),
            waker: waker.clone(),
        }));
        // SAFETY: the source is new and suspended, so no handler runs yet; the context lives until `ended`.
        unsafe {
            dispatch_set_context(source, context.cast());
            dispatch_source_set_event_handler_f(source, came);
            dispatch_source_set_cancel_handler_f(source, ended);
            dispatch_resume(source);
        }
        Some(Self { source, context })
    }

    /// The level that was told last; `None` before the first change.
    #[must_use]
    pub fn level(&self) -> Option<PressureLevel> {
        // SAFETY: it is freed after the source was cancelled, which `drop` does.
        let context = unsafe { &*self.context };
        level_of(context.last.load(Ordering::Relaxed))
    }
}

impl Drop for PressureEvents {
    fn drop(&mut self) {
        // SAFETY: the source is ours; cancelled, it calls `ended` last, and keeps itself until then.
        unsafe {
            dispatch_source_cancel(self.source);
            dispatch_release(self.source);
        }
    }
}

extern "C" fn came(context: *mut c_void) {
    // SAFETY: the context of a source whose `ended` has not run.
    let context = unsafe { &*context.cast::<Context>() };
    // SAFETY: called from the source's own handler, as it must be.
    let data = unsafe { dispatch_source_get_data(context.source) };
    context.last.store(data as u32, Ordering::Relaxed);
    context.waker.wake();
}

extern "C" fn ended(context: *mut c_void) {
    // SAFETY: made by `Box::into_raw`; no other handler runs after this one, which runs once.
    drop(unsafe { Box::from_raw(context.cast::<Context>()) });
}
