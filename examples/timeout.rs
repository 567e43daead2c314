//! Admission that does not wait forever: a timeout, a token that cancels, a try, and a demand that can
//! never be admitted.
//!
//! ```sh
//! cargo run --example timeout
//! ```
//!
//! It needs no MLX.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use mlx_wired::{CancelToken, Error, Manager, SumPolicy, Wait};
use std::thread;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn main() -> Result<(), Error> {
    let manager = Manager::builder()
        .backend(mlx_wired::ffi::NoMlx::new())
        .build()?;
    let policy = SumPolicy::capped(100 * MIB);
    let large = manager.ticket(&policy, 80 * MIB).label("large");
    let small = manager.ticket(&policy, 30 * MIB).label("small");

    // A borrowed guard belongs to its thread: waiting here for what this very thread holds would never end.
    let held = large.acquire()?;
    // With a deadline it would wait for that.
    if let Err(error) = small.acquire() {
        println!("deadlock: {error}");
    }
    drop(held);

    // An owned guard may be released by any thread.
    let holder = large.acquire_owned()?;

    match small.admit_timeout(Duration::from_millis(100)) {
        Ok(_guard) => println!("admitted"),
        Err(error @ Error::Timeout { .. }) => println!("timeout: {error}"),
        Err(error) => return Err(error),
    }

    match small.try_acquire() {
        Ok(_guard) => println!("admitted"),
        Err(error) if error.is_would_block() => println!("try: {error}"),
        Err(error) => return Err(error),
    }

    // Another thread may end the wait, here together with a deadline.
    let token = CancelToken::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            token.cancel();
        });
        let wait = Wait::new().timeout(Duration::from_secs(5)).cancel(&token);
        match small.acquire_with(wait) {
            Ok(_guard) => println!("admitted"),
            Err(error) => println!("cancel: {error}"),
        }
    });

    // Waiting would be in vain, so this fails at once.
    let huge = manager.ticket(&policy, 200 * MIB).label("huge");
    if let Err(error) = huge.admit_timeout(Duration::from_secs(5)) {
        println!("never: {error}");
    }

    // And a wait that ends well: the holder releases in time.
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let guard = small.admit_timeout(Duration::from_secs(5))?;
            println!("admitted after {:.1?}", guard.waited());
            Ok(())
        });
        thread::sleep(Duration::from_millis(50));
        drop(holder);
        waiter.join().expect("the waiter does not panic")
    })
}
