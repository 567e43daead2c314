//! The shared manager in a child, whether or not its parent has made it, and recorders.

use crate::calls::refused;
use crate::child::in_child;
use mlx_wired::ffi::NoMlx;
use mlx_wired::recorder::Recorder;
use mlx_wired::{Config, Error, Manager, Policy, SumPolicy};
use std::time::Duration;

fn is_refused() {
    let shared = Manager::shared();
    assert!(shared.snapshot().closed && std::ptr::eq(shared, Manager::shared()));
    refused(shared.ticket(&SumPolicy::new(), 1).acquire());
    refused(SumPolicy::new().ticket(1).try_acquire());
    refused(SumPolicy::new().acquire(1));
    refused(Manager::init_shared(Config::default()));
}

#[test]
fn r43_the_shared_manager_of_a_child() -> Result<(), Error> {
    let _first = Manager::builder().backend(NoMlx::new()).build()?;
    in_child(is_refused);
    let _shared = Manager::shared();
    in_child(is_refused);
    Ok(())
}

#[test]
fn r43_a_recording_is_its_parents() -> Result<(), Error> {
    let manager = Manager::builder().backend(NoMlx::new()).build()?;
    let every = Duration::from_millis(1);
    let ticket = manager.ticket(&SumPolicy::uncapped(), 1);
    let _held = ticket.acquire()?;
    let start = || Recorder::new(&manager).in_background(every);
    let recorder = start().expect("a thread can be had");
    in_child(|| {
        let recording = recorder.finish();
        assert_eq!(recording.at_start().live, 1);
        assert!(recording.events().is_empty() && recording.at_end().is_none());
    });
    let recorder = start().expect("a thread can be had");
    in_child(|| drop(recorder));
    let recorder = Recorder::new(&manager);
    in_child(|| assert!(recorder.finish().at_end().is_none()));
    Ok(())
}
