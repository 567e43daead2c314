//! Children that are forked while other threads do whatever comes.

use crate::calls::{World, refused};
use crate::child::in_child;
use crate::kit::Sets;
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::{Config, Error, Manager, SumPolicy, Wait};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const CHILDREN: usize = 20;

fn manager() -> Result<Manager, Error> {
    // Each release sets the limit, so that there is something to be amid.
    let config = Config::default()
        .shrink_threshold_ratio(0.0)
        .shrink_cooldown(Duration::ZERO);
    let backend = RecordingBackend::metal().build();
    Manager::builder().backend(backend).config(config).build()
}

/// Calls `test` while four threads do whatever comes, each its own.
fn amid_traffic(manager: &Manager, test: impl FnOnce()) {
    let ticket = manager.ticket(&SumPolicy::capped(100), 60).label("traffic");
    let small = manager.ticket(&SumPolicy::capped(100), 1);
    let stop = AtomicBool::new(false);
    let on = |work: &dyn Fn()| {
        while !stop.load(Ordering::Relaxed) {
            work();
        }
    };
    thread::scope(|scope| {
        let _stops = Sets(&stop);
        scope.spawn(|| on(&|| drop(small.acquire_owned())));
        scope.spawn(|| {
            on(&|| {
                // It waits for the other now and then.
                let waited = ticket.acquire_with(Wait::new().timeout(Duration::from_millis(1)));
                drop(waited);
                drop(small.acquire());
            });
        });
        scope.spawn(|| on(&|| drop((ticket.acquire_owned(), manager.snapshot()))));
        scope.spawn(|| {
            on(&|| {
                let events = manager.subscribe(10);
                drop(manager.ticket(&SumPolicy::uncapped(), 3).label("new"));
                events.drain().for_each(drop);
            });
        });
        test();
    });
}

#[test]
fn r43_a_child_amid_traffic_does_not_hang() -> Result<(), Error> {
    let manager = manager()?;
    let world = World::new(manager.clone());
    let ticket = manager.ticket(&SumPolicy::uncapped(), 1);
    amid_traffic(&manager, || {
        for _ in 0..CHILDREN {
            let owned = || ticket.acquire_owned().expect("uncapped");
            let (borrowed, owned) = (ticket.acquire().expect("uncapped"), [owned(), owned()]);
            in_child(|| world.find_nothing(borrowed, owned));
        }
    });
    drop(world);
    Ok(())
}

#[test]
fn r43_a_child_of_a_child_is_one_too() -> Result<(), Error> {
    let manager = manager()?;
    let ticket = manager.ticket(&SumPolicy::capped(100), 1);
    amid_traffic(&manager, || {
        for _ in 0..CHILDREN {
            in_child(|| {
                in_child(|| refused(ticket.acquire()));
            });
        }
    });
    Ok(())
}

#[test]
fn r43_the_parent_goes_on() -> Result<(), Error> {
    let manager = manager()?;
    let ticket = manager.ticket(&SumPolicy::capped(100), 40);
    let _reserved = manager
        .ticket(&SumPolicy::capped(100), 20)
        .reservation()
        .acquire_owned()?;
    let borrowed = ticket.acquire()?;
    for _ in 0..CHILDREN {
        in_child(|| {
            refused(ticket.acquire());
            manager.close();
        });
        drop(ticket.acquire()?);
        drop(ticket.acquire_owned()?);
    }
    let snapshot = manager.snapshot();
    assert_eq!((snapshot.live, snapshot.live_bytes), (2, 60));
    assert!(snapshot.guards_add_up && !snapshot.closed);
    drop(borrowed);
    Ok(())
}
