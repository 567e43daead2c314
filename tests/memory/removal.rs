//! Functions that are removed, panic, and call back.

use super::{Log, Stage};
use mlx_wired::PressureLevel::{Critical, Normal, Urgent, Warning};
use mlx_wired::ffi::NoMlx;
use mlx_wired::memory::{Pressure, Reading, Source, SourceError, Subscription};
use mlx_wired::{Manager, SumPolicy};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_removed_function_is_not_called_and_what_it_captured_is_gone() {
    let (stage, log) = (Stage::new(), Log::default());
    let captured = Arc::new(());
    let (told, kept) = (log.clone(), captured.clone());
    let subscription = stage.pressure.on_level(Normal, move |change| {
        let _kept = &kept;
        told.note(change.to);
    });
    stage.poll(0.76);
    drop(subscription);
    assert_eq!(Arc::strong_count(&captured), 1);
    stage.poll(0.86);
    assert_eq!(log.take(), ["warning"]);
}

/// Each kind of function, removed from inside itself: no wait, and no second call.
#[test]
fn a_function_removes_itself() {
    let (stage, log) = (Stage::new(), Log::default());
    let slots: [Arc<Mutex<Option<Subscription>>>; 4] = Default::default();
    let once = |slot: usize| {
        let (slot, log) = (Arc::downgrade(&slots[slot]), log.clone());
        move || {
            log.note("called");
            let taken = Weak::upgrade(&slot).and_then(|slot| slot.lock().take());
            drop(taken);
        }
    };
    let calls = [once(0), once(1), once(2), once(3)];
    let [a, b, c, d] = calls;
    *slots[0].lock() = Some(stage.pressure.on_level(Normal, move |_| a()));
    *slots[1].lock() = Some(stage.pressure.before_critical(move |_| b()));
    *slots[2].lock() = Some(stage.pressure.on_give(move |_| {
        c();
        1
    }));
    *slots[3].lock() = Some(stage.pressure.on_source(move |_| d()));
    stage.poll(0.96);
    stage.script.fails("gone");
    stage.again();
    assert_eq!(log.take().len(), 4);
    stage.poll(0.99);
    stage.script.fails("gone");
    stage.again();
    assert_eq!(log.take().len(), 0);
}

/// The thread that removes waits for a call in flight on another, so that what it frees next is not in use.
#[test]
fn removal_waits_for_a_call_in_flight() {
    let stage = Stage::new();
    let (entered, is_in) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let done = Arc::new(AtomicBool::new(false));
    let ends = done.clone();
    let subscription = stage.pressure.on_level(Normal, move |_| {
        entered.send(()).expect("the test waits");
        may_go.lock().recv().expect("the test goes on");
        ends.store(true, Ordering::SeqCst);
    });
    thread::scope(|scope| {
        // In here, so that a failure ends what waits for it.
        let go_on = go_on;
        scope.spawn(|| stage.poll(0.76));
        is_in.recv().expect("it is called");
        let (begins, has_begun) = mpsc::channel();
        let done = &done;
        let removes = scope.spawn(move || {
            begins.send(()).expect("the test waits");
            drop(subscription);
            assert!(done.load(Ordering::SeqCst), "the call had ended");
        });
        has_begun.recv().expect("it begins");
        // It sleeps, or is about to; however long it is given, it may not return before the call does.
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(1));
            assert!(!removes.is_finished());
        }
        go_on.send(()).expect("the function waits");
        removes.join().expect("the call had ended");
    });
}

#[test]
fn one_function_may_remove_another_and_register_more() {
    let (stage, log) = (Arc::new(Stage::new()), Log::default());
    let second: Arc<Mutex<Option<Subscription>>> = Arc::default();
    let (removes, told, inner) = (second.clone(), log.clone(), Arc::downgrade(&stage));
    let _first = stage.pressure.on_level(Normal, move |_| {
        drop(removes.lock().take());
        let Some(stage) = inner.upgrade() else { return };
        let told = told.clone();
        // Not called for the change that goes on.
        *removes.lock() = Some(stage.pressure.on_level(Normal, move |_| told.note("new")));
    });
    let told = log.clone();
    *second.lock() = Some(
        stage
            .pressure
            .on_level(Normal, move |_| told.note("second")),
    );
    stage.poll(0.76);
    assert_eq!(log.take(), Vec::<String>::new());
    // The new one is removed before its turn, too.
    stage.poll(0.86);
    assert_eq!(log.take(), Vec::<String>::new());
}

#[test]
fn r22_panics_are_counted_and_stop_nothing() {
    struct Broken;
    impl Source for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn read(&mut self, _: Instant) -> Result<Option<Reading>, SourceError> {
            panic!("as the test asked")
        }
    }
    /// Panics when it is dropped, as a payload may.
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("and again")
        }
    }
    let stage = Stage::with(|builder| builder.source(Broken));
    let log = Log::default();
    let told = log.clone();
    let _functions = [
        stage
            .pressure
            .before_critical(|_| panic!("as the test asked")),
        stage
            .pressure
            .on_level(Normal, |_| std::panic::panic_any(Worse)),
        stage.pressure.on_level(Normal, move |_| told.note("told")),
        stage.pressure.on_give(|_| panic!("as the test asked")),
        stage.pressure.on_source(|_| panic!("as the test asked")),
    ];
    assert_eq!(stage.poll(0.96), Critical);
    assert_eq!(log.take(), ["told"]);
    // The source twice: after what may have given something back it is read again.
    assert_eq!(stage.pressure.stats().panics, 6);
    assert_eq!(stage.poll(0.96), Critical);
}

#[test]
fn r22_a_function_may_call_everything() -> Result<(), mlx_wired::Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let stage = Arc::new(Stage::with(|builder| builder.manager(&manager)));
    let (inner, log) = (Arc::downgrade(&stage), Log::default());
    let (told, ticket) = (log.clone(), manager.ticket(&SumPolicy::capped(100), 10));
    let _function = stage.pressure.on_level(Normal, move |_| {
        let Some(stage) = inner.upgrade() else { return };
        told.note(stage.pressure.poll());
        told.note(stage.pressure.level());
        told.note(stage.pressure.sources().len());
        told.note(stage.pressure.stats().rises);
        told.note(ticket.acquire().is_ok());
    });
    stage.poll(0.86);
    assert_eq!(log.take(), ["false", "urgent", "1", "1", "true"]);
    Ok(())
}

#[test]
fn a_subscription_may_outlive_its_monitor() {
    let stage = Stage::new();
    let captured = Arc::new(());
    let kept = captured.clone();
    let subscription = stage
        .pressure
        .on_level(Warning, move |_| drop(kept.clone()));
    stage.poll(0.86);
    assert_eq!(stage.pressure.level(), Urgent);
    drop(stage);
    drop(subscription);
    assert_eq!(Arc::strong_count(&captured), 1);
}

#[test]
fn handles_are_what_they_look_like() {
    fn sends<T: Send + Sync>(_: &T) {}
    let stage = Stage::new();
    sends(&stage.pressure);
    let subscription = stage.pressure.on_level(Normal, |_| {});
    sends(&subscription);
    assert!(format!("{:?} {subscription:?}", stage.pressure).contains("level: Normal"));
    assert!(format!("{:?}", Pressure::builder()).contains("calm_for"));
}
