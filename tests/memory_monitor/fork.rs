//! A forked child has no monitor: every call that can fail says so, and none waits for threads that it has not.

use super::Stage;
use super::child::{in_child, kept_in_child};
#[cfg(feature = "watch")]
use crate::kit::{PATIENCE, Pending, again, is_again};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::Error;

fn is_refused<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Coordinator(mlx_wired::Error::Forked)))
}

#[test]
fn in_a_child_every_call_is_refused_and_nothing_waits() {
    let (stage, monitor) = Stage::started(RecordingBackend::cpu());
    let mut decoder = monitor.uncounted("decoder", 5);
    let cleanup = monitor.on_cleanup(|| 1);
    in_child(|| {
        assert!(is_refused(monitor.read()));
        assert!(is_refused(monitor.statistics()));
        assert!(is_refused(monitor.problems()));
        assert!(is_refused(monitor.uncounted_bytes()));
        assert!(is_refused(monitor.can_allocate(1)));
        assert!(is_refused(monitor.force_cleanup()));
        assert!(is_refused(monitor.leak_check(|| ())));
        assert!(is_refused(stage.monitor().start()));
        #[cfg(feature = "watch")]
        assert!(is_refused(monitor.line()) && is_refused(monitor.serve("/tmp/child")));
        #[cfg(feature = "metrics")]
        assert!(is_refused(monitor.publish()));
        decoder.set(7);
        drop(monitor.uncounted("child's", 1));
        drop(monitor.on_cleanup(|| 1));
    });
    assert_eq!(monitor.read().expect("the parent's").uncounted, 5);
    // What the child drops stays the parent's.
    let kept = kept_in_child(
        move || drop((decoder, cleanup)),
        // SAFETY: ends the child at once.
        |status| unsafe { libc::_exit(status) },
    );
    assert_eq!(monitor.force_cleanup().expect("the parent's").functions, 1);
    drop(kept);
    assert_eq!(monitor.force_cleanup().expect("the parent's").functions, 0);
}

#[cfg(feature = "watch")]
#[test]
fn a_child_that_drops_them_leaves_thread_and_socket() {
    let (folder, monitor, server, _stage) = super::socket::served();
    let kept = kept_in_child(
        move || drop((monitor, server)),
        // SAFETY: ends the child at once.
        |status| unsafe { libc::_exit(status) },
    );
    super::socket::is_served(&folder.at("s"));
    drop(kept);
    assert!(!folder.at("s").exists());
}

/// In a process of its own: the child has open what other tests have, for as long as it lives.
#[cfg(feature = "watch")]
#[test]
fn a_child_that_lives_on_does_not_hold_up_the_servers_end() {
    if !is_again() {
        again(
            "fork::a_child_that_lives_on_does_not_hold_up_the_servers_end",
            &[],
        );
        return;
    }
    let (folder, _monitor, server, _stage) = super::socket::served();
    // SAFETY: any child may make both calls. A signal ends it: its parent's, or else the alarm's.
    let child = super::child::fork(|| unsafe {
        libc::alarm(2 * PATIENCE.as_secs() as u32);
        loop {
            libc::pause();
        }
    });
    Pending::spawn(move || drop(server)).result();
    assert!(!folder.at("s").exists());
    // SAFETY: it is this process's own child, and is not waited for elsewhere.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}
