//! A monitor of pressure whose thread is not there, forked while that was amid a function of the program's.

use crate::child::kept_in_child;
use crate::kit::{PATIENCE, again, is_again};
use mlx_wired::ffi::NoMlx;
use mlx_wired::memory::{Error as Refused, Pressure, PressureStats, Scripted};
use mlx_wired::{Error, Manager, PressureLevel};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

/// In a process of its own: the child starts a thread (`threads.rs`).
#[test]
fn r43_a_monitor_of_pressure() -> Result<(), Error> {
    if !is_again() {
        again("memory::r43_a_monitor_of_pressure", &[]);
        return Ok(());
    }
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let script = Scripted::new("script");
    let builder = Pressure::builder().source(script.clone()).manager(&manager);
    let pressure = builder.start().expect("a thread is to be had");
    let (entered, is_in) = mpsc::channel();
    let (go_on, may_go) = mpsc::channel::<()>();
    let (may_go, captured) = (Mutex::new(may_go), Arc::new(()));
    let kept = captured.clone();
    let listener = pressure.on_level(PressureLevel::Normal, move |change| {
        let _kept = &kept;
        if change.is_rise() {
            entered.send(()).expect("the test waits");
            let may_go = may_go.lock().unwrap_or_else(PoisonError::into_inner);
            may_go.recv_timeout(PATIENCE).expect("the test goes on");
        }
    });
    script.used(0.99);
    script.wake();
    is_in.recv().expect("it is told");

    // The turn is held, and the function is marked as running, for ever.
    let idle = Pressure::builder().source(script.clone()).build();
    let mut idle = idle.expect("the settings make sense");
    let work = move || {
        let refused = idle.start().expect_err("it is its parent's");
        assert!(matches!(refused, Refused::Coordinator(Error::Forked)));
        assert_eq!(pressure.level(), PressureLevel::Critical);
        assert!(!pressure.poll());
        assert_eq!(pressure.sources().len(), 0);
        assert_eq!(pressure.stats(), PressureStats::default());
        drop(pressure.on_level(PressureLevel::Normal, |_| {}));
        drop(pressure.mlx_cache(&manager));
        drop(listener);
        drop(pressure);
        assert_eq!(
            Arc::strong_count(&captured),
            2,
            "what is captured is the parent's"
        );
        // One of its own works.
        let script = Scripted::new("child's");
        let own = Pressure::builder().source(script.clone()).start();
        let own = own.expect("a thread is to be had");
        script.used(0.99);
        script.wake();
        while own.level() == PressureLevel::Normal {
            std::thread::yield_now();
        }
    };
    // SAFETY: ends the child at once.
    let kept = kept_in_child(work, |status| unsafe { libc::_exit(status) });
    go_on.send(()).expect("the function waits");
    drop(kept);
    Ok(())
}
