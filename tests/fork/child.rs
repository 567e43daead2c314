//! Forked children, and what became of them.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for any machine that is not stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `work` in a forked child, which must end well, and soon.
#[track_caller]
pub(crate) fn in_child(work: impl FnOnce()) {
    // SAFETY: ends the child at once.
    drop(kept_in_child(work, |status| unsafe { libc::_exit(status) }));
}

/// [`in_child`], whose child ends by `end`. Returns what the parent still has: dropped, it releases the guards that the
/// child was given.
#[track_caller]
#[must_use]
pub(crate) fn kept_in_child<F: FnOnce()>(work: F, end: impl FnOnce(i32)) -> Option<F> {
    // Where the child fails, what it was given stays: to drop it may need what the caller lets go on only later.
    let mut work = ManuallyDrop::new(Some(work));
    ends_well(fork(|| {
        let work = work.take().expect("it is there");
        let done = catch_unwind(AssertUnwindSafe(work));
        if let Err(panic) = &done {
            tell(
                panic
                    .downcast_ref::<String>()
                    .map_or("a panic", |text| text),
            );
        }
        // Without unwinding into the test.
        end(i32::from(done.is_err()));
    }));
    ManuallyDrop::into_inner(work)
}

/// Forks. Returns the child's number; the child runs `child`, and goes on from here if that returns.
pub(crate) fn fork(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child goes on with this thread alone. What it does is the subject of these tests.
    let number = unsafe { libc::fork() };
    assert!(number >= 0, "a process can be had");
    if number == 0 {
        child();
    }
    number
}

/// The child of this number ends with 0, and soon.
#[track_caller]
pub(crate) fn ends_well(child: libc::pid_t) {
    let begin = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: the child is this process's own, and nobody else waits for it.
        let ended = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        if ended == child {
            break;
        }
        if begin.elapsed() > PATIENCE {
            // SAFETY: as above.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &raw mut status, 0);
            }
            panic!("the child hangs");
        }
        thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(status, 0, "the child ends well");
}

/// Says what is wrong in a child, past every lock.
fn tell(text: &str) {
    let text = format!("in a child: {text}\n");
    // SAFETY: the text lives until the call returns.
    let _written = unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}
