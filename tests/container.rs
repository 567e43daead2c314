//! R41 in a control group of the test's own: the budget follows the container's limit, and leaves room for the process.
//!
//! Each test says on stderr whether it `ran`, or why it was `skipped`: it needs root, and the memory controller of control
//! groups version 1 or 2 where groups can be made.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "whether a test ran must be seen")]

use mlx_wired::ffi::NoMlx;
use mlx_wired::{Error, Manager, SumPolicy};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

const MIB: u64 = 1 << 20;
/// Where the child finds its group.
const GROUP: &str = "MLX_WIRED_CONTAINER_GROUP";

/// A control group, removed when dropped.
struct Group(PathBuf);

impl Group {
    /// `None` where none can be made that limits memory.
    fn make(name: &str) -> Option<Self> {
        let name = format!("mlx_wired_{name}_{}", std::process::id());
        ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]
            .into_iter()
            .find_map(|root| {
                let group = Path::new(root).join(&name);
                fs::create_dir(&group).ok()?;
                let group = Self(group);
                group.limit().is_some().then_some(group)
            })
    }

    /// The file of its limit.
    fn limit(&self) -> Option<PathBuf> {
        let files = ["memory.limit_in_bytes", "memory.max"];
        let mut files = files.into_iter().map(|file| self.0.join(file));
        files.find(|file| file.exists())
    }

    fn allow(&self, mib: u64) {
        let limit = self.limit().expect("it limits memory");
        fs::write(limit, (mib * MIB).to_string()).expect("it is ours");
    }

    /// Runs a test of this binary again, as another process that goes into the group.
    fn run(&self, test: &str) -> ExitStatus {
        let binary = std::env::current_exe().expect("this binary has a path");
        let mut child = Command::new(binary);
        child.args(["--exact", test, "--nocapture"]);
        child.env(GROUP, &self.0).status().expect("it runs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The child has one too, and is in it.
        let _in_use = fs::remove_dir(&self.0);
    }
}

/// Runs `test` in a group of its own: there, calls it with the group; here, tells how that process ended.
fn in_a_group(
    test: &str,
    mib: u64,
    child: impl FnOnce(&Group) -> Result<(), Error>,
) -> Result<Option<ExitStatus>, Error> {
    if let Some(path) = std::env::var_os(GROUP) {
        let group = Group(path.into());
        let processes = group.0.join("cgroup.procs");
        fs::write(processes, std::process::id().to_string()).expect("the group is ours");
        child(&group)?;
        return Ok(None);
    }
    let Some(group) = Group::make(test) else {
        eprintln!("skipped: no control group of one's own can limit memory here");
        return Ok(None);
    };
    group.allow(mib);
    let ended = group.run(test);
    eprintln!("ran: {ended}");
    Ok(Some(ended))
}

fn manager() -> Result<Manager, Error> {
    Manager::builder().backend(NoMlx::new()).build()
}

/// Whether the budget is a part of so much, less the process's own and the reserve.
#[track_caller]
fn assert_part_of(mib: u64, budget: Option<u64>) {
    let most = (mib - 64) * MIB;
    let least = (mib / 2) * MIB;
    assert!(
        budget.is_some_and(|budget| least < budget && budget < most),
        "{budget:?} of {mib} MiB"
    );
}

#[test]
fn r41_the_budget_follows_the_containers_limit() -> Result<(), Error> {
    let test = "r41_the_budget_follows_the_containers_limit";
    let ended = in_a_group(test, 512, |group| {
        let manager = manager()?;
        assert_part_of(512, manager.budget());
        let job = manager.ticket(&SumPolicy::new(), 200 * MIB);
        let again: [&dyn Fn() -> Result<(), Error>; 3] = [
            &|| manager.poke(),
            &|| {
                manager.maintain();
                Ok(())
            },
            &|| manager.configure(|config| config),
        ];
        for (mib, again) in [256, 1024, 512].into_iter().zip(again) {
            group.allow(mib);
            again()?;
            assert_part_of(mib, manager.budget());
            let running: Vec<_> = (0..8).map_while(|_| job.try_acquire().ok()).collect();
            let running = running.len() as u64;
            assert!(
                running * 200 < mib && (running + 2) * 200 > mib,
                "{running} in {mib} MiB"
            );
        }
        Ok(())
    })?;
    assert!(ended.is_none_or(|ended| ended.success()));
    Ok(())
}

#[test]
fn r41_work_that_uses_what_it_was_granted_is_not_killed() -> Result<(), Error> {
    let test = "r41_work_that_uses_what_it_was_granted_is_not_killed";
    let ended = in_a_group(test, 256, |_| {
        let manager = manager()?;
        let part = manager.budget().expect("it is known") / 16;
        let job = manager.ticket(&SumPolicy::new(), part);
        let mut running = Vec::new();
        while let Ok(guard) = job.try_acquire() {
            let used = vec![1_u8; usize::try_from(part).expect("less than the memory")];
            running.push((guard, used));
            // What was admitted is in use now, and is not taken off once more.
            manager.maintain();
        }
        assert!(running.len() >= 12, "{} jobs ran at once", running.len());
        Ok(())
    })?;
    if let Some(ended) = ended {
        assert_eq!(
            ended.signal(),
            None,
            "killed for memory that it was granted"
        );
        assert!(ended.success());
    }
    Ok(())
}

#[test]
fn r41_without_proc_the_kernel_is_asked() -> Result<(), Error> {
    const WITHOUT: &str = "MLX_WIRED_WITHOUT_PROC";
    const SKIPPED: i32 = 77;
    if std::env::var_os(WITHOUT).is_none() {
        let binary = std::env::current_exe().expect("this binary has a path");
        let script = format!(
            "mount -t tmpfs none /proc || exit {SKIPPED}; exec \"$0\" --exact \
             r41_without_proc_the_kernel_is_asked --nocapture"
        );
        let mut child = Command::new("unshare");
        let child = child.args(["--mount", "sh", "-c", &script]).arg(binary);
        match child.env(WITHOUT, "1").status().map(|ended| ended.code()) {
            Ok(Some(0)) => eprintln!("ran"),
            // `unshare` itself says 1, a test that fails 101.
            Ok(Some(1 | SKIPPED)) | Err(_) => eprintln!("skipped: /proc cannot be hidden here"),
            Ok(code) => panic!("it ended with {code:?}"),
        }
        return Ok(());
    }
    assert!(!Path::new("/proc/meminfo").exists());
    let manager = manager()?;
    let memory = manager.device().memory_size.expect("the kernel tells");
    let budget = manager.budget().expect("never without a cap");
    assert!(0 < budget && budget < memory, "{budget} of {memory}");
    Ok(())
}
