//! What is done at a change, in which order, and what is given back.

use super::{Log, Stage};
use crate::kit::{MIB, on};
use mlx_wired::PressureLevel::{Critical, Normal, Urgent, Warning};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::memory::reactions::Ask;
use mlx_wired::{EventKind, PressureLevel};
use parking_lot::Mutex;
use std::sync::Arc;

#[test]
fn at_critical_a_checkpoint_comes_before_anything_else() -> Result<(), mlx_wired::Error> {
    let (manager, _) = on(RecordingBackend::cpu());
    let (stage, log) = (
        Stage::with(|builder| builder.manager(&manager)),
        Log::default(),
    );
    let (told, asked) = (log.clone(), manager.clone());
    let _first = stage.pressure.before_critical(move |change| {
        told.note(format!(
            "save at {}, manager {}",
            change.to,
            PressureLevel::of(asked.snapshot().pressure)
        ));
    });
    let (told, asked) = (log.clone(), manager.clone());
    let _listener = stage.pressure.on_level(Normal, move |change| {
        told.note(format!(
            "told of {}, manager {}",
            change.to,
            PressureLevel::of(asked.snapshot().pressure)
        ));
    });
    let told = log.clone();
    let _giver = stage.pressure.on_give(move |ask| {
        told.note(format!("give {} at {}", ask.share, ask.level));
        0
    });
    stage.poll(0.86);
    stage.poll(0.99);
    stage.poll(0.99);
    assert_eq!(
        log.take(),
        [
            "told of urgent, manager urgent",
            "give 0.75 at urgent",
            "save at critical, manager urgent",
            "told of critical, manager critical",
            "give 1 at critical",
            // Still over the line: asked again, and the checkpoint is not saved again.
            "give 1 at critical",
        ]
    );
    Ok(())
}

/// One event of the manager's for each change, none for each poll.
#[test]
fn r33a_the_manager_is_told_once_for_each_change() -> Result<(), mlx_wired::Error> {
    let (manager, _) = on(RecordingBackend::cpu());
    let subscriber = manager.subscribe(64);
    let stage = Stage::with(|builder| builder.manager(&manager));
    for _ in 0..5 {
        stage.poll(0.96);
    }
    for _ in 0..40 {
        stage.poll(0.2);
    }
    let changes = subscriber
        .drain()
        .filter(|event| matches!(event.kind, EventKind::PressureChanged { .. }));
    assert_eq!(changes.count(), 4);
    Ok(())
}

/// What other code tells the manager between two changes stays until the next.
#[test]
fn r33a_the_manager_is_not_told_at_each_poll() -> Result<(), mlx_wired::Error> {
    let (manager, _) = on(RecordingBackend::cpu());
    let stage = Stage::with(|builder| builder.manager(&manager));
    stage.poll(0.86);
    manager.set_pressure(0.0)?;
    stage.poll(0.86);
    assert_eq!(manager.snapshot().pressure, 0.0);
    stage.poll(0.96);
    assert_eq!(manager.snapshot().pressure, 1.0);
    Ok(())
}

/// Memory of which several parts can be given back.
#[derive(Clone)]
struct Memory {
    used: Arc<Mutex<u64>>,
    stage: mlx_wired::memory::Scripted,
}

impl Memory {
    fn new(stage: &Stage, mib: u64) -> Self {
        let this = Self {
            used: Arc::new(Mutex::new(mib)),
            stage: stage.script.clone(),
        };
        this.change(0);
        this
    }

    fn change(&self, less: u64) {
        let mut used = self.used.lock();
        *used -= less;
        self.stage.used(*used as f64 / 1024.0);
    }

    /// A part that gives what it is asked for, of so much.
    fn part(&self, name: &'static str, mib: u64, log: &Log) -> impl Fn(&Ask) -> u64 + use<> {
        let (memory, held, log) = (self.clone(), Mutex::new(mib * MIB), log.clone());
        move |ask| {
            let mut held = held.lock();
            let part = ask.part_of(*held);
            *held -= part;
            memory.change(part / MIB);
            let wanted = ask.wanted.expect("the source tells bytes");
            log.note(format!("{name} {} of {}", part / MIB, wanted.div_ceil(MIB)));
            part
        }
    }
}

#[test]
fn giving_back_goes_on_to_the_line_where_the_level_is_left_and_stops() {
    let (stage, log) = (Stage::new(), Log::default());
    let memory = Memory::new(&stage, 800); // of 1024: warning, left below 716.8
    let _parts = [
        stage.pressure.on_give(memory.part("a", 100, &log)),
        stage.pressure.on_give(memory.part("b", 200, &log)),
        stage.pressure.on_give(memory.part("c", 200, &log)),
    ];
    assert_eq!(stage.again(), Warning);
    // Below the line where it began with the first part already.
    assert_eq!(log.take(), ["a 50 of 84", "b 100 of 34"]);
    assert_eq!(stage.pressure.stats().given_back, 150 * MIB);
    stage.again();
    assert_eq!(log.take(), Vec::<String>::new());
}

#[test]
fn half_three_quarters_all() {
    for (mib, given) in [(780, 500), (900, 750), (1000, 1000)] {
        let (stage, log) = (Stage::new(), Log::default());
        let memory = Memory::new(&stage, mib);
        let held = Arc::new(Mutex::new(0));
        let told = held.clone();
        let _part = stage.pressure.on_give(move |ask: &Ask| {
            *told.lock() = ask.part_of(1000);
            0
        });
        stage.again();
        assert_eq!(*held.lock(), given, "{mib}");
        drop((memory, log));
    }
}

/// Between the lines nothing is asked; over the line of the present level it is, at each poll.
#[test]
fn it_is_asked_only_over_the_line_of_the_present_level() {
    let (stage, log) = (Stage::new(), Log::default());
    let told = log.clone();
    let _part = stage.pressure.on_give(move |ask: &Ask| {
        told.note(ask.level);
        0
    });
    stage.poll(0.86);
    for _ in 0..5 {
        stage.poll(0.84);
    }
    stage.poll(0.85);
    assert_eq!(log.take(), ["urgent", "urgent"]);
}

#[test]
fn what_is_read_after_giving_back_counts_for_calm_not_for_the_level() {
    let stage = Stage::new();
    let memory = Memory::new(&stage, 1000);
    let gives = memory.clone();
    let _part = stage.pressure.on_give(move |_| {
        gives.change(900);
        900 * MIB
    });
    assert_eq!(stage.again(), Critical);
    for _ in 0..10 {
        assert_eq!(stage.again(), Critical);
    }
    assert_eq!(stage.again(), Urgent);
}
