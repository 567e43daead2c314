//! Threads stay where they are while they are timed: a migration costs more than what is measured. And whether
//! another program had their processor meanwhile.

pub(crate) use system::{Pinned, cpus, preemptions};

#[cfg(target_os = "linux")]
mod system {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::unistd::Pid;
    use std::sync::OnceLock;

    const THIS_THREAD: Pid = Pid::from_raw(0);

    /// The processors that this process may use.
    pub(crate) fn cpus() -> &'static [usize] {
        static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
        CPUS.get_or_init(|| {
            let set = sched_getaffinity(THIS_THREAD).unwrap_or_default();
            (0..CpuSet::count())
                .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
                .collect()
        })
    }

    /// Keeps the thread on one processor until dropped.
    pub(crate) struct Pinned(Option<CpuSet>);

    impl Pinned {
        pub(crate) fn to(cpu: Option<usize>) -> Self {
            // The list of processors must not be made from a pinned thread.
            cpus();
            let before = sched_getaffinity(THIS_THREAD).ok();
            let mut one = CpuSet::new();
            if let Some(cpu) = cpu
                && one.set(cpu).is_ok()
            {
                set(&one);
            }
            Self(before)
        }
    }

    impl Drop for Pinned {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                set(before);
            }
        }
    }

    /// How many times the system has taken the processor from this thread; 0 if it does not say.
    pub(crate) fn preemptions() -> i64 {
        getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.involuntary_context_switches())
    }

    /// If it fails, threads wander and the medians say so.
    fn set(to: &CpuSet) {
        sched_setaffinity(THIS_THREAD, to).unwrap_or_default();
    }
}

/// Elsewhere threads cannot be told where to run, nor does the system say that they were stopped.
#[cfg(not(target_os = "linux"))]
mod system {
    /// Unknown here.
    pub(crate) fn cpus() -> &'static [usize] {
        &[]
    }

    pub(crate) fn preemptions() -> i64 {
        0
    }

    /// Does nothing here.
    pub(crate) struct Pinned;

    impl Pinned {
        pub(crate) fn to(_cpu: Option<usize>) -> Self {
            Self
        }
    }
}
