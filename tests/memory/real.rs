//! Real pressure, in a container of the test's own: 256 MiB, on request.
//!
//! ```sh
//! cargo test --test memory -- --ignored --nocapture real::
//! ```
//!
//! It needs root and control groups that limit memory; each test says whether it `ran`. A program computes in a container and
//! keeps what it may need again, with a bound that the container does not have room for. Without reactions it is killed. With
//! them it gives back what it keeps, and ends. The levels come from the monitor's own reading of the kernel's files.
#![cfg(target_os = "linux")]
#![allow(
    clippy::print_stderr,
    reason = "whether a test ran must be seen, and what it measured"
)]

use crate::kit::MIB;
use mlx_wired::PressureLevel;
use mlx_wired::memory::{Container, Pressure};
use mlx_wired::system::ControlGroups;
use parking_lot::Mutex;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Where the child finds its groups, and whether it reacts.
const GROUPS: &str = "MLX_WIRED_REAL_PRESSURE";
const REACTS: &str = "MLX_WIRED_REAL_PRESSURE_REACTS";

/// Control groups of the test's own, removed when dropped: one that limits memory, and where the two versions are apart one
/// that tells of stalls.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn make(mib: u64) -> Option<Self> {
        let name = format!("mlx_wired_real_{}", std::process::id());
        let make = |root: &str| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).ok().map(|()| group)
        };
        let roots = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];
        let mut this = Self(roots.into_iter().find_map(make).into_iter().collect());
        this.0.extend(make("/sys/fs/cgroup/unified"));
        let files = ["memory.limit_in_bytes", "memory.max"];
        let mut limits = files.into_iter().filter_map(|file| {
            let file = this.0.first()?.join(file);
            file.exists().then_some(file)
        });
        let limit = limits.next()?;
        fs::write(limit, (mib * MIB).to_string()).ok()?;
        // No way out but to give back.
        for (file, bytes) in [
            ("memory.memsw.limit_in_bytes", mib * MIB),
            ("memory.swap.max", 0),
        ] {
            let _absent = fs::write(this.0[0].join(file), bytes.to_string());
        }
        Some(this)
    }

    fn paths(&self) -> String {
        let paths: Vec<_> = self.0.iter().map(|path| path.to_string_lossy()).collect();
        paths.join(":")
    }

    /// This process goes into those of its parent.
    fn enter(paths: &str) {
        for path in paths.split(':') {
            let processes = Path::new(path).join("cgroup.procs");
            fs::write(processes, std::process::id().to_string()).expect("the group is ours");
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for path in &self.0 {
            // What was killed leaves a little later.
            for _ in 0..100 {
                if fs::remove_dir(path).is_ok() {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Buffers that are kept for reuse, as MLX's cache and a pool of host buffers do.
type Kept = Arc<Mutex<Vec<Vec<u8>>>>;

/// Works for ten seconds: each 20 ms a step that needs 32 MiB for a while, and of which 4 MiB are kept, up to 400 MiB.
fn work(kept: &Kept) -> u64 {
    const STEP: usize = 32 << 20;
    const KEPT: usize = 4 << 20;
    const MOST: usize = 100;
    let end = Instant::now() + Duration::from_secs(10);
    let mut steps = 0;
    while Instant::now() < end {
        let used = vec![1_u8; STEP];
        thread::sleep(Duration::from_millis(20));
        let mut kept = kept.lock();
        if kept.len() < MOST {
            kept.push(used[..KEPT].to_vec());
        }
        steps += 1;
    }
    steps
}

/// The program in the container.
fn program(reacts: bool) {
    let kept = Kept::default();
    let groups = ControlGroups::of_this_process().expect("it is in one");
    let pressure = Pressure::builder()
        .source(Container::new(groups.clone()))
        .every(Duration::from_millis(50))
        .calm_for(Duration::from_secs(1))
        .start()
        .expect("a thread is to be had");
    let fullest = Arc::new(Mutex::new(0));
    let (gives, sees) = (kept.clone(), fullest.clone());
    let reaction = reacts.then(|| {
        pressure.on_give(move |ask| {
            let mut kept = gives.lock();
            let used = groups
                .memory()
                .ok()
                .flatten()
                .map_or(0, |memory| memory.used);
            let mut fullest = sees.lock();
            *fullest = used.max(*fullest);
            let part = usize::try_from(ask.part_of(kept.len() as u64)).expect("it is small");
            let gone: u64 = kept.drain(..part).map(|buffer| buffer.len() as u64).sum();
            gone
        })
    });
    let steps = work(&kept);
    let stats = pressure.stats();
    let fullest = *fullest.lock() / MIB;
    eprintln!(
        "{steps} steps, {} MiB given back, {} rises, {} falls, {} polls, level {}; {fullest} MiB in use at most when asked",
        stats.given_back / MIB,
        stats.rises,
        stats.falls,
        stats.polls,
        pressure.level()
    );
    assert!(stats.rises > 0 && stats.given_back > 0 && stats.sources_lost == 0);
    drop(reaction);
}

/// Runs `test` again as another process in a container; `None` where there can be none. There, calls the program.
fn in_a_container(test: &str, reacts: bool) -> Option<ExitStatus> {
    if let Ok(paths) = std::env::var(GROUPS) {
        Groups::enter(&paths);
        program(std::env::var_os(REACTS).is_some());
        return None;
    }
    let Some(groups) = Groups::make(256) else {
        eprintln!("skipped: no control group of one's own can limit memory here");
        return None;
    };
    let binary = std::env::current_exe().expect("this binary has a path");
    let mut child = Command::new(binary);
    child.args(["--ignored", "--exact", test, "--nocapture"]);
    child.env(GROUPS, groups.paths()).stdout(Stdio::null());
    if reacts {
        child.env(REACTS, "1");
    }
    let ended = child.status().expect("it runs");
    eprintln!("ran: {ended}");
    Some(ended)
}

#[test]
#[ignore = "needs root and ten seconds: see the head of the file"]
fn without_reactions_it_is_killed() {
    if let Some(ended) = in_a_container("real::without_reactions_it_is_killed", false) {
        assert_eq!(ended.signal(), Some(9), "{ended}");
    }
}

#[test]
#[ignore = "needs root and ten seconds: see the head of the file"]
fn with_reactions_it_survives() {
    if let Some(ended) = in_a_container("real::with_reactions_it_survives", true) {
        assert!(ended.success(), "{ended}");
    }
}

/// Stalls come from the kernel's own account of the group: anonymous memory beside a file that does not fit.
#[test]
#[ignore = "needs root and ten seconds: see the head of the file"]
fn stalls_of_the_group_are_seen() {
    const TEST: &str = "real::stalls_of_the_group_are_seen";
    if let Ok(paths) = std::env::var(GROUPS) {
        Groups::enter(&paths);
        let pressure = Pressure::builder()
            .every(Duration::from_millis(250))
            .start();
        let pressure = pressure.expect("a thread is to be had");
        let held = vec![1_u8; 225 << 20];
        let file = std::env::temp_dir().join(format!("mlx_wired_real_{}", std::process::id()));
        let block = vec![7_u8; 1 << 20];
        let end = Instant::now() + Duration::from_secs(8);
        let mut most: f64 = 0.0;
        while Instant::now() < end {
            let mut written = fs::File::create(&file).expect("there is room");
            for _ in 0..64 {
                std::io::Write::write_all(&mut written, &block).expect("there is room");
            }
            for source in pressure.sources() {
                let share = source.reading.and_then(|reading| reading.get_stalled());
                if &*source.name == "group's stalls" {
                    most = most.max(share.unwrap_or(0.0));
                }
            }
        }
        let _gone = fs::remove_file(file);
        eprintln!(
            "stalled at most {:.0} % of a quarter second; level {}; {:?}",
            100.0 * most,
            pressure.level(),
            pressure.sources()
        );
        assert!(pressure.level() >= PressureLevel::Urgent);
        drop(held);
        return;
    }
    let Some(groups) = Groups::make(256) else {
        eprintln!("skipped: no control group of one's own can limit memory here");
        return;
    };
    let binary = std::env::current_exe().expect("this binary has a path");
    let mut child = Command::new(binary);
    child.args(["--ignored", "--exact", TEST, "--nocapture"]);
    let ended = child.env(GROUPS, groups.paths()).status().expect("it runs");
    eprintln!("ran: {ended}");
    assert!(ended.success(), "{ended}");
}
