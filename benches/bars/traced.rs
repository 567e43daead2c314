//! System calls of a pair, counted by tracing a child of this program with ptrace.
//!
//! The child prepares a ticket, stops itself, does its pairs, stops again, does nothing, and stops a third time.
//! What the kernel reports between the first two stops, less what it reports between the last two, are
//! the pairs' own calls.

pub(crate) use system::{child, count_system_calls};

#[cfg(target_os = "linux")]
mod system {
    use crate::options::TRACED;
    use crate::prepared::{BuiltIn, Prepared};
    use nix::sys::ptrace::{self, Options};
    use nix::sys::signal::{Signal, raise};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};
    use std::{env, io};

    /// As many as [`nothing`](crate::nothing) does without a tracer.
    const PAIRS: u64 = 1000;
    /// Between two stops of the child.
    const REPORTS_OF_ONE_CALL: u64 = 2;

    pub(crate) fn child() {
        for policy in BuiltIn::ALL {
            let prepared = Prepared::built_in(policy, 1, 10);
            prepared.pairs(PAIRS);
            stop();
            prepared.pairs(PAIRS);
            stop();
            stop();
        }
    }

    fn stop() {
        raise(Signal::SIGSTOP).expect("a process may stop itself");
    }

    /// For each built-in policy; `None` where processes may not be traced.
    pub(crate) fn count_system_calls() -> Option<Vec<u64>> {
        let mut child = spawn().ok()?;
        let counts = trace(&child);
        if counts.is_none() {
            // It may have ended already.
            child.kill().unwrap_or_default();
        }
        child.wait().map(drop).unwrap_or_default();
        counts
    }

    fn spawn() -> io::Result<Child> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(format!("--{TRACED}"));
        let trace_me = || ptrace::traceme().map_err(io::Error::from);
        // SAFETY: the closure makes one system call, which is all that may be done between fork and exec.
        unsafe { command.pre_exec(trace_me) };
        command.spawn()
    }

    fn trace(child: &Child) -> Option<Vec<u64>> {
        let pid = Pid::from_raw(i32::try_from(child.id()).ok()?);
        // A traced process stops when it has become the new program.
        let started = waitpid(pid, None).ok()?;
        if !matches!(started, WaitStatus::Stopped(_, Signal::SIGTRAP)) {
            return None;
        }
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(pid, options).ok()?;
        let count = |_| {
            reports_until_stop(pid)?;
            let with_pairs = reports_until_stop(pid)?;
            let without = reports_until_stop(pid)?;
            Some(with_pairs.saturating_sub(without) / REPORTS_OF_ONE_CALL)
        };
        let counts = BuiltIn::ALL.into_iter().map(count).collect();
        // Left to itself it ends.
        ptrace::detach(pid, None).ok()?;
        counts
    }

    /// Lets the child run until it stops itself. Each system call is reported twice: entered and left.
    fn reports_until_stop(pid: Pid) -> Option<u64> {
        let mut reports = 0;
        let mut signal = None;
        loop {
            ptrace::syscall(pid, signal).ok()?;
            signal = None;
            match waitpid(pid, None).ok()? {
                WaitStatus::PtraceSyscall(_) => reports += 1,
                WaitStatus::Stopped(_, Signal::SIGSTOP) => return Some(reports),
                // A signal of another's is passed on.
                WaitStatus::Stopped(_, other) => signal = Some(other),
                _ => return None,
            }
        }
    }
}

/// Elsewhere system calls are not counted.
#[cfg(not(target_os = "linux"))]
mod system {
    pub(crate) fn child() {}

    pub(crate) fn count_system_calls() -> Option<Vec<u64>> {
        None
    }
}
