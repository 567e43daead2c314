//! Interruptions at any instruction. Threads that run freely hardly ever stop between two neighbouring atomic
//! operations; a signal stops them there.

#[cfg(target_os = "linux")]
pub(crate) use linux::Target;
#[cfg(not(target_os = "linux"))]
pub(crate) use none::Target;

#[cfg(target_os = "linux")]
mod linux {
    use super::super::plan::Plan;
    use nix::sched::{CpuSet, sched_setaffinity, sched_yield};
    use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    use nix::unistd::Pid;
    use parking_lot::Mutex;
    use std::hint::spin_loop;
    use std::sync::Once;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    /// Ignored by default, so one that comes late does no harm.
    const SIGNAL: Signal = Signal::SIGURG;

    /// The threads to interrupt.
    static TARGETS: Mutex<Vec<Pthread>> = Mutex::new(Vec::new());

    /// The calling thread is interrupted, pinned, or both, until this is dropped.
    pub(crate) struct Target {
        interrupted: bool,
    }

    impl Target {
        pub(crate) fn new(plan: &Plan) -> Self {
            if plan.pinned {
                pin();
            }
            if plan.interrupted {
                start();
                TARGETS.lock().push(pthread_self());
            }
            Self {
                interrupted: plan.interrupted,
            }
        }
    }

    impl Drop for Target {
        fn drop(&mut self) {
            if self.interrupted {
                let own = pthread_self();
                TARGETS.lock().retain(|target| *target != own);
            }
        }
    }

    /// Keeps the thread on the first processor.
    fn pin() {
        let mut first = CpuSet::new();
        let set = first.set(0);
        // Where that is not allowed, threads wander.
        let pinned = set.and_then(|()| sched_setaffinity(Pid::from_raw(0), &first));
        pinned.unwrap_or_default();
    }

    /// Starts the interrupting thread, which lives as long as the process.
    fn start() {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            let handler = SigHandler::Handler(interrupted);
            let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
            // SAFETY: the handler only spins, counts in an atomic and yields, all of which a handler may do.
            unsafe { sigaction(SIGNAL, &action) }.expect("the signal can be handled");
            let thread = thread::Builder::new().name("stress interrupts".to_owned());
            thread.spawn(interrupt).expect("the system has room for it");
        });
    }

    fn interrupt() {
        loop {
            {
                let targets = TARGETS.lock();
                if let Some(target) = fastrand::choice(targets.iter()) {
                    // It lives: it leaves the list before it ends.
                    pthread_kill(*target, SIGNAL).unwrap_or_default();
                }
            }
            match fastrand::u8(..8) {
                0 => thread::sleep(Duration::from_micros(fastrand::u64(..200))),
                _ => (0..fastrand::u32(..2000)).for_each(|_| spin_loop()),
            }
        }
    }

    extern "C" fn interrupted(_signal: nix::libc::c_int) {
        static TURNS: AtomicU32 = AtomicU32::new(0);
        let turn = TURNS.fetch_add(1, Ordering::Relaxed);
        match turn % 4 {
            0 => sched_yield().unwrap_or_default(),
            _ => (0..turn % 1024 * 4).for_each(|_| spin_loop()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use super::super::plan::Plan;

    /// Elsewhere threads are left alone.
    pub(crate) struct Target;

    impl Target {
        pub(crate) fn new(_plan: &Plan) -> Self {
            Self
        }
    }
}
