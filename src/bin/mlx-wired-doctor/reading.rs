//! A model's folder, read in sight of a clock: a network's disk may take minutes, or not answer at all.

use super::output::complain;
use mlx_wired::print::Name;
use mlx_wired::train::{Error, estimate::Model};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// After how long it is told what is being read; and then after twice as long, and so on.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn read(folder: &Path) -> Result<Model, Error> {
    watched(
        PATIENCE,
        || Model::read(folder),
        |time| {
            let name = folder.to_string_lossy();
            let seconds = time.as_secs();
            complain(&format!(
                "still reading {} after {seconds} s",
                Name::new(&name)
            ));
        },
    )
}

/// Does the work on a thread of its own, and tells of it each time that it has taken twice as long.
fn watched<T: Send>(
    patience: Duration,
    work: impl FnOnce() -> T + Send,
    tell: impl Fn(Duration),
) -> T {
    std::thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let worker = scope.spawn(move || {
            // Dropped at the end, also of a panic.
            let _done = done;
            work()
        });
        let (mut time, mut wait) = (Duration::ZERO, patience);
        while is_done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            time += wait;
            tell(time);
            wait = time;
        }
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn what_takes_long_is_told_of() {
        let (go, may_go) = channel();
        let told = RefCell::new(Vec::new());
        let patience = Duration::from_millis(1);
        let result = watched(
            patience,
            move || may_go.recv().map(|()| 7),
            |time| {
                told.borrow_mut().push(time.as_millis());
                if told.borrow().len() == 3 {
                    go.send(()).expect("it waits");
                }
            },
        );
        assert_eq!(result, Ok(7));
        assert!(told.borrow().starts_with(&[1, 2, 4]), "{told:?}");
    }

    #[test]
    fn what_is_quick_is_not() {
        let told = RefCell::new(0);
        let hour = Duration::from_secs(3600);
        assert_eq!(watched(hour, || 7, |_| *told.borrow_mut() += 1), 7);
        assert_eq!(told.into_inner(), 0);
    }
}
