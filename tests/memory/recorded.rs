//! Files of a real container under pressure, replayed; missing and malformed ones. `tests/data/pressure/record` made them.

use super::{Log, Stage};
use crate::kit::Folder;
use mlx_wired::PressureLevel::{Critical, Normal, Urgent};
use mlx_wired::clock::FakeClock;
use mlx_wired::memory::{Pressure, Source, system_sources_under};
use mlx_wired::system::{ControlGroups, MachineMemory};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A copy of some of the system's files.
impl Folder {
    /// Puts a moment of the recording in place of the one before.
    fn play(&self, moment: &Path) {
        let text = fs::read_to_string(moment).expect("it was recorded");
        for file in text.split("=== ").skip(1) {
            let (path, text) = file.split_once('\n').expect("a name, then the text");
            self.write(path.trim_start_matches('/'), text);
        }
    }

    /// A version 2 container of 1000 bytes on a machine with room.
    fn container() -> Self {
        let this = Self::new();
        this.write("proc/self/cgroup", "0::/app\n");
        this.write(
            "proc/self/mountinfo",
            "24 23 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        );
        this.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 800 kB\n");
        this.write(&at("cgroup.events"), "populated 1\n");
        this.write(&at("memory.max"), "1000\n");
        this.write(&at("memory.high"), "max\n");
        this.write(&at("memory.current"), "500\n");
        this.write(&at("memory.stat"), "anon 400\ninactive_file 100\n");
        this.write(&at("memory.pressure"), stalls(0));
        this.write("proc/pressure/memory", stalls(0));
        this
    }

    fn stage(&self) -> Stage {
        Stage::with(|builder| builder.sources(system_sources_under(self.path())))
    }
}

fn at(file: &str) -> String {
    format!("sys/fs/cgroup/app/{file}")
}

fn stalls(total: u64) -> String {
    format!(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
}

fn recording() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pressure/container");
    let moments = fs::read_dir(folder).expect("it was recorded");
    let mut moments: Vec<_> = moments
        .map(|moment| moment.expect("it is listed").path())
        .collect();
    moments.sort();
    moments
}

#[test]
fn a_container_that_fills_up_and_stalls_and_recovers() {
    let moments = recording();
    assert!(moments.len() > 20);
    let files = Folder::new();
    files.play(&moments[0]);
    let (clock, log) = (FakeClock::new(), Log::default());
    let pressure = Pressure::builder()
        .sources(system_sources_under(files.path()))
        .calm_for(Duration::from_secs(2));
    let pressure = pressure
        .clock(clock.clone())
        .build()
        .expect("the settings make sense");
    let names: Vec<String> = pressure
        .sources()
        .iter()
        .map(|source| source.name.to_string())
        .collect();
    assert_eq!(
        names,
        ["container", "group's stalls", "machine", "machine's stalls"]
    );
    let told = log.clone();
    let _told = pressure.on_level(Normal, move |change| told.note(change));
    let mut stalled: f64 = 0.0;
    for moment in &moments {
        files.play(moment);
        clock.advance(Duration::from_millis(500));
        assert!(pressure.poll());
        let sources = pressure.sources();
        assert!(
            sources.iter().all(|source| source.problem.is_none()),
            "{sources:?}"
        );
        let share = sources[1].reading.and_then(|reading| reading.get_stalled());
        stalled = stalled.max(share.unwrap_or(0.0));
    }
    assert!(stalled > 0.25, "threads waited {stalled} of a half second");
    let changes = log.take();
    let levels: Vec<&str> = changes
        .iter()
        .map(|change| change.split([' ', ',']).nth(3).expect("a level"))
        .collect();
    assert_eq!(levels, LEVELS, "{changes:#?}");
    assert_eq!(pressure.level(), Normal);
    assert_eq!(pressure.stats().sources_lost, 0);
}

/// What the recording goes through.
const LEVELS: [&str; 3] = ["urgent", "warning", "normal"];

#[test]
fn the_containers_use_is_without_what_can_be_dropped() {
    let files = Folder::container();
    let stage = files.stage();
    let level = |current: u64, inactive: u64| {
        files.write(&at("memory.current"), format!("{current}\n"));
        files.write(
            &at("memory.stat"),
            format!("anon 1\ninactive_file {inactive}\n"),
        );
        stage.again();
        let container = stage.pressure.sources()[1].reading.expect("it tells");
        container.get_used()
    };
    assert_eq!(level(1000, 900), Some((100, 1000)));
    assert_eq!(stage.pressure.level(), Normal);
    assert_eq!(level(960, 0), Some((960, 1000)));
    assert_eq!(stage.pressure.level(), Critical);
    // Not read at one moment.
    assert_eq!(level(10, 11), Some((0, 1000)));
}

#[test]
fn the_smaller_limit_counts_and_the_fullest_group() {
    let files = Folder::container();
    let groups = ControlGroups::under(files.path()).expect("they are there");
    let used = || {
        let memory = groups
            .memory()
            .expect("it can be read")
            .expect("it has a limit");
        (memory.used, memory.limit)
    };
    files.write(&at("memory.high"), "800\n");
    assert_eq!(used(), (400, 800));
    files.write("sys/fs/cgroup/memory.max", "2000\n");
    files.write("sys/fs/cgroup/memory.current", "1800\n");
    files.write("sys/fs/cgroup/memory.stat", "inactive_file 0\n");
    assert_eq!(used(), (1800, 2000));
    for (file, text) in [("memory.max", "max\n"), ("memory.high", "max\n")] {
        files.write(&at(file), text);
    }
    files.remove("sys/fs/cgroup/memory.max");
    assert_eq!(groups.memory().expect("it can be read"), None);
}

#[test]
fn stalls_of_the_group_count_by_differences() {
    let files = Folder::container();
    let stage = files.stage();
    files.write(&at("memory.current"), "860\n"); // 76 % without what can be dropped
    stage.again();
    files.write(&at("memory.pressure"), stalls(300_000));
    // Of a second.
    assert_eq!(stage.again(), Urgent);
    let share = || {
        stage.pressure.sources()[2]
            .reading
            .and_then(|reading| reading.get_stalled())
    };
    assert_eq!(share(), Some(0.3));
    // Polled again at once: no difference is made of nothing.
    assert!(stage.pressure.poll());
    assert_eq!(share(), Some(0.3));
    // More than there was time for, and a total that begins anew.
    files.write(&at("memory.pressure"), stalls(9_000_000));
    stage.again();
    assert_eq!(share(), Some(1.0));
    files.write(&at("memory.pressure"), stalls(5));
    stage.again();
    assert_eq!(share(), None);
    stage.again();
    assert_eq!(share(), Some(0.0));
}

#[test]
fn stalls_of_the_machine_count_only_where_it_is_short() {
    let files = Folder::container();
    let stage = files.stage();
    stage.again();
    files.write("proc/pressure/memory", stalls(900_000));
    assert_eq!(stage.again(), Normal);
    files.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 240 kB\n");
    files.write("proc/pressure/memory", stalls(1_800_000));
    assert_eq!(stage.again(), Critical);
}

/// The group of all processes is no group of one's own.
#[test]
fn stalls_of_the_root_group_are_the_machines() {
    let files = Folder::container();
    assert!(
        ControlGroups::under(files.path())
            .expect("it is there")
            .pressure_file()
            .is_some()
    );
    files.write("proc/self/cgroup", "0::/\n");
    files.write("sys/fs/cgroup/memory.pressure", stalls(0));
    assert_eq!(
        ControlGroups::under(files.path())
            .expect("it is there")
            .pressure_file(),
        None
    );
}

/// Each file, gone or spoiled, one at a time: one event, the others go on, and no level comes of it.
#[test]
fn missing_and_malformed_files_are_told_of_and_are_no_pressure() {
    const SPOILED: [&str; 9] = [
        "",
        "\n",
        "many\n",
        "-1\n",
        "99999999999999999999999\n",
        "NaN\n",
        "some total=x\nMemTotal: x kB\ninactive_file x\n",
        "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
        "\u{0}\u{1b}[2J",
    ];
    let paths = [
        at("memory.max"),
        at("memory.current"),
        at("memory.stat"),
        at("memory.pressure"),
        "proc/meminfo".to_owned(),
        "proc/pressure/memory".to_owned(),
    ];
    for path in &paths {
        for text in SPOILED.map(Some).into_iter().chain([None]) {
            let files = Folder::container();
            let (stage, log) = (files.stage(), Log::default());
            let told = log.clone();
            let _told = stage
                .pressure
                .on_source(move |event| told.note(event.problem.is_some()));
            stage.again();
            match text {
                Some(text) => files.write(path, text),
                None => files.remove(path),
            }
            for _ in 0..3 {
                assert_eq!(stage.again(), Normal, "{path} is {text:?}");
            }
            let lost = log.take();
            let limit_is_gone = text.is_none() && path.ends_with("memory.max");
            if limit_is_gone {
                assert_eq!(lost, Vec::<String>::new(), "no limit is no fault");
            } else {
                // The machine's memory is read for its stalls, too.
                let once = 1 + usize::from(path == "proc/meminfo");
                assert_eq!(lost, vec!["true"; once], "{path} is {text:?}");
            }
            for source in stage.pressure.sources() {
                let texts = source.reading.map(|reading| reading.to_string());
                assert!(!texts.unwrap_or_default().contains("NaN"));
            }
        }
    }
}

#[test]
fn a_machine_without_these_files_has_no_sources() {
    let files = Folder::new();
    assert_eq!(system_sources_under(files.path()).len(), 0);
    assert!(MachineMemory::read(files.path()).is_err());
    assert!(ControlGroups::under(files.path()).is_err());
    // Control groups without a limit, and no stall information.
    files.write("proc/self/cgroup", "0::/app\n");
    files.write("proc/self/mountinfo", "malformed\n - - -\n");
    files.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 1000 kB\n");
    let names: Vec<_> = system_sources_under(files.path())
        .iter()
        .map(|source| source.name().to_owned())
        .collect();
    assert_eq!(names, ["container", "machine"]);
    assert_eq!(files.stage().again(), Normal);
}

/// This machine, whatever it is: it reads, and nothing is malformed.
#[test]
fn this_machine_can_be_read() {
    let pressure = Pressure::builder()
        .build()
        .expect("the settings make sense");
    for _ in 0..3 {
        assert!(pressure.poll());
    }
    for source in pressure.sources() {
        assert_eq!(source.problem, None, "{source:?}");
    }
    if cfg!(target_os = "linux") {
        assert!(
            pressure
                .sources()
                .iter()
                .any(|source| &*source.name == "machine")
        );
    }
}
