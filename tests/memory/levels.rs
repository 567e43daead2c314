//! When a level begins, and when it ends.

use super::{Log, Stage};
use crate::kit::{SECOND, on};
use mlx_wired::PressureLevel::{Critical, Normal, Urgent, Warning};
use mlx_wired::ffi::{NoMlx, RecordingBackend};
use mlx_wired::memory::{Error, MlxUse, Pressure, Reading, Scripted, Source, SourceError};
use mlx_wired::{Config, Manager, PressureLevel, SumPolicy};
use std::time::Instant;

#[test]
fn a_level_begins_at_once_and_passes_levels_over() {
    for (used, level) in [
        (0.0, Normal),
        (0.749, Normal),
        (0.75, Warning),
        (0.85, Urgent),
        (0.95, Critical),
        (1.5, Critical),
    ] {
        assert_eq!(Stage::new().poll(used), level, "{used}");
    }
}

#[test]
fn it_falls_one_level_at_a_time_after_ten_calm_seconds_each() {
    let stage = Stage::new();
    assert_eq!(stage.poll(0.99), Critical);
    let levels: Vec<PressureLevel> = (0..35).map(|_| stage.poll(0.1)).collect();
    let fall = |from: usize| levels[from - 1] != levels[from];
    let falls: Vec<usize> = (1..35).filter(|at| fall(*at)).collect();
    assert_eq!(falls, [10, 20, 30]);
    assert_eq!(
        (levels[10], levels[20], levels[30]),
        (Urgent, Warning, Normal)
    );
}

/// Five points below the line where it began, not just below it.
#[test]
fn between_the_lines_a_level_stays() {
    let stage = Stage::new();
    assert_eq!(stage.poll(0.86), Urgent);
    for _ in 0..60 {
        assert_eq!(stage.poll(0.81), Urgent);
    }
    // Calm seconds that are interrupted do not add up.
    for _ in 0..9 {
        assert_eq!(stage.poll(0.79), Urgent);
    }
    assert_eq!(stage.poll(0.81), Urgent);
    for _ in 0..10 {
        assert_eq!(stage.poll(0.79), Urgent);
    }
    assert_eq!(stage.poll(0.79), Warning);
    for _ in 0..60 {
        assert_eq!(stage.poll(0.79), Warning);
    }
}

#[test]
fn one_report_for_each_change_however_much_it_flaps() {
    let (stage, log) = (Stage::new(), Log::default());
    let told = log.clone();
    let _subscription = stage
        .pressure
        .on_level(Normal, move |change| told.note(change));
    for _ in 0..100 {
        stage.poll(0.76);
        stage.poll(0.60);
    }
    assert_eq!(
        log.take(),
        ["memory pressure is warning, was normal (script: 778.24 MiB of 1 GiB in use)"]
    );
    for _ in 0..11 {
        stage.poll(0.60);
    }
    assert_eq!(
        log.take(),
        ["memory pressure is normal, was warning (script: 614.40 MiB of 1 GiB in use)"]
    );
    let stats = stage.pressure.stats();
    assert_eq!((stats.rises, stats.falls, stats.polls), (1, 1, 211));
}

#[test]
fn functions_hear_of_their_level_and_of_its_end() {
    let (stage, log) = (Stage::new(), Log::default());
    let told = log.clone();
    let _subscription = stage.pressure.on_level(Urgent, move |change| {
        told.note(format!("{} {}", change.to, change.is_rise()));
    });
    stage.poll(0.76);
    assert_eq!(log.take(), Vec::<String>::new());
    stage.poll(0.86);
    stage.poll(0.96);
    for _ in 0..31 {
        stage.poll(0.1);
    }
    assert_eq!(
        log.take(),
        [
            "urgent true",
            "critical true",
            "urgent false",
            "warning false"
        ]
    );
}

#[test]
fn to_set_one_line_leaves_the_others() {
    let stage = Stage::with(|builder| builder.at(Warning, 0.5));
    assert_eq!(stage.poll(0.5), Warning);
    assert_eq!(stage.poll(0.84), Warning);
    assert_eq!(stage.poll(0.85), Urgent);
    assert_eq!(stage.poll(0.95), Critical);
}

#[test]
fn lines_that_do_not_rise_are_refused() {
    for (level, line) in [
        (Urgent, 0.75),
        (Warning, 0.9),
        (Critical, 1.01),
        (Critical, f64::NAN),
        (Normal, 0.5),
    ] {
        let built = Pressure::builder().at(level, line).build();
        let error = built.expect_err("they do not rise");
        assert!(matches!(error, Error::Lines { .. }));
        assert!(error.to_string().len() <= 160, "{error}");
        assert!(Pressure::builder().stalled_at(level, line).build().is_err() || line == 0.75);
    }
}

#[test]
fn the_highest_of_the_sources_counts_and_is_named() {
    let (more, log) = (Scripted::new("more"), Log::default());
    let stage = Stage::with(|builder| builder.source(more.clone()));
    let told = log.clone();
    let _subscription = stage.pressure.on_level(Normal, move |change| {
        let (name, _) = change.source.as_ref().expect("one says the most");
        told.note(format!("{} {name}", change.to));
    });
    more.used(0.86);
    assert_eq!(stage.poll(0.76), Urgent);
    more.used(0.96);
    assert_eq!(stage.poll(0.97), Critical);
    assert_eq!(log.take(), ["urgent more", "critical script"]);
}

#[test]
fn a_source_that_fails_is_told_of_once_and_is_no_pressure() {
    let log = Log::default();
    let stage = Stage::new();
    let told = log.clone();
    let _subscription = stage.pressure.on_source(move |event| told.note(event));
    assert_eq!(stage.poll(0.5), Normal);
    for why in ["gone", "gone", "malformed"] {
        stage.script.fails(why);
        assert_eq!(stage.again(), Normal);
    }
    assert_eq!(
        log.take(),
        ["pressure source script cannot be read, the others go on: gone"]
    );
    assert_eq!(
        stage.pressure.sources()[0].problem.as_deref(),
        Some("malformed")
    );
    assert_eq!(stage.poll(0.5), Normal);
    assert_eq!(log.take(), ["pressure source script can be read again"]);
    assert_eq!(stage.pressure.stats().sources_lost, 1);
}

/// What cannot be read is neither pressure nor calm; the next source speaks.
#[test]
fn a_level_does_not_fall_while_nothing_is_read() {
    let next = Scripted::new("next");
    let stage = Stage::with(|builder| builder.source(next.clone()));
    assert_eq!(stage.poll(0.9), Urgent);
    stage.script.fails("gone");
    next.fails("gone");
    for _ in 0..30 {
        assert_eq!(stage.again(), Urgent);
    }
    next.used(0.2);
    for _ in 0..10 {
        assert_eq!(stage.again(), Urgent);
    }
    assert_eq!(stage.again(), Warning);
}

/// Long texts, and those that would forge a line, do not get into a message as they are.
#[test]
fn r42_what_a_source_says_of_its_failure_is_escaped_and_cut() {
    let (stage, log) = (Stage::new(), Log::default());
    let told = log.clone();
    let _subscription = stage.pressure.on_source(move |event| {
        told.note(event);
        told.note(format!("{event:#}"));
    });
    stage
        .script
        .fails(&format!("x\n\u{1b}[2J{}", "y".repeat(10_000)));
    stage.again();
    let texts = log.take();
    assert!(texts[0].len() <= 160, "{}", texts[0]);
    for text in texts {
        assert!(
            text.contains("x\\n\\u{1b}[2Jyy") && text.len() < 500,
            "{text}"
        );
    }
}

#[test]
fn stalls_count_only_where_memory_is_short_or_not_known() {
    let stalls = Scripted::new("stalls");
    let stage = Stage::with(|builder| builder.source(stalls.clone()));
    stalls.says(Reading::stalled(0.6));
    assert_eq!(stage.poll(0.3), Normal, "files are read, and there is room");
    assert_eq!(stage.poll(0.76), Critical);
    // Where nothing tells a use, they are all there is.
    let alone = Stage::new();
    alone.script.says(Reading::stalled(0.3));
    assert_eq!(alone.again(), Urgent);
    // And where what told it is gone.
    let stage = Stage::with(|builder| builder.source(stalls.clone()));
    stage.script.fails("gone");
    assert_eq!(stage.again(), Critical);
}

#[test]
fn stalls_beside_a_use_count_only_while_that_is_short() {
    let other = Scripted::new("other");
    let stage = Stage::with(|builder| builder.source(other.clone()));
    other.used(0.76);
    stage.script.says(Reading::used(3, 10).and_stalled(0.9));
    assert_eq!(stage.again(), Warning);
    stage.script.says(Reading::used(8, 10).and_stalled(0.9));
    assert_eq!(stage.again(), Critical);
}

#[test]
fn a_judgement_of_the_systems_counts_as_it_is() {
    let stage = Stage::new();
    for level in [Warning, Critical] {
        stage.script.says(Reading::level(level));
        assert_eq!(stage.again(), level);
    }
    stage.script.says(Reading::level(Normal));
    let falls = (0..31)
        .map(|_| stage.again())
        .fold(Critical, |_, level| level);
    assert_eq!(falls, Normal);
}

#[test]
fn no_number_is_nan() {
    assert_eq!(Reading::used(0, 0).fraction(), Some(0.0));
    assert_eq!(Reading::used(1, 0).fraction(), Some(1.0));
    assert_eq!(Reading::used(u64::MAX, u64::MAX).fraction(), Some(1.0));
    assert_eq!(Reading::stalled(f64::NAN).get_stalled(), Some(0.0));
    assert_eq!(Reading::stalled(f64::INFINITY).get_stalled(), Some(1.0));
    assert_eq!(Reading::stalled(-1.0).get_stalled(), Some(0.0));
    let stage = Stage::new();
    for reading in [
        Reading::used(0, 0),
        Reading::used(0, 1),
        Reading::stalled(f64::NAN),
    ] {
        stage.script.says(reading);
        assert_eq!(stage.again(), Normal, "{reading}");
        assert!(!reading.to_string().contains("NaN"), "{reading}");
    }
}

#[test]
fn r33a_the_managers_caps_follow_the_level() -> Result<(), mlx_wired::Error> {
    let config = Config::default().elastic([1.0, 0.9, 0.75, 0.5]);
    let manager = Manager::builder()
        .backend(NoMlx::new())
        .config(config)
        .build()?;
    let step = manager.ticket(&SumPolicy::capped(100), 10);
    let stage = Stage::with(|builder| builder.manager(&manager));
    let running = step.acquire()?;
    for (used, available) in [(0.1, 90), (0.76, 80), (0.86, 65), (0.96, 40)] {
        stage.poll(used);
        assert_eq!(step.available(), Some(available), "{used}");
        assert_eq!(
            PressureLevel::of(manager.snapshot().pressure),
            stage.pressure.level()
        );
    }
    // What runs is not revoked.
    assert_eq!(running.bytes(), 10);
    for _ in 0..31 {
        stage.poll(0.1);
    }
    assert_eq!(step.available(), Some(90));
    stage.poll(0.96);
    drop(stage);
    assert_eq!(
        step.available(),
        Some(90),
        "pressure that is read no more is none"
    );
    Ok(())
}

#[test]
fn mlxs_own_use_is_without_its_cache() -> Result<(), mlx_wired::Error> {
    let (manager, backend) = on(RecordingBackend::cpu());
    let budget = manager.budget().expect("it is known");
    let stage = Stage::with(|builder| builder.source(MlxUse::of(&manager)));
    backend.update_memory(|memory| (memory.active, memory.cache) = (budget / 2, budget / 2));
    assert_eq!(stage.again(), Normal);
    backend.update_memory(|memory| memory.active = budget / 100 * 86);
    assert_eq!(stage.again(), Urgent);
    backend.fail_memory(true);
    stage.clock.advance(SECOND);
    assert!(stage.pressure.poll());
    assert!(stage.pressure.sources()[1].problem.is_some());
    Ok(())
}

/// Five points below five per cent is nothing at all, and nothing is below that.
#[test]
fn the_lowest_line_is_left_again() {
    let lowest = |level| Stage::with(|builder| builder.at(level, 0.05).stalled_at(level, 0.05));
    let stage = lowest(Warning);
    for (enters, leaves) in [
        (Reading::stalled(0.06), Reading::stalled(0.0)),
        (Reading::used(6, 100), Reading::used(0, 100)),
    ] {
        stage.script.says(enters);
        assert_eq!(stage.again(), Warning);
        stage.script.says(leaves);
        for _ in 0..11 {
            stage.again();
        }
        assert_eq!(stage.pressure.level(), Normal, "{leaves}");
    }
    // It is left lower than it is entered, still.
    stage.script.says(Reading::used(6, 100));
    stage.again();
    stage.script.says(Reading::used(3, 100));
    assert!((0..60).all(|_| stage.again() == Warning));
}

/// The error's text is the program's, too.
#[test]
fn r22_an_error_that_panics_when_it_is_printed_is_a_source_that_fails() {
    #[derive(Debug)]
    struct Unprintable;
    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("as the test asked")
        }
    }
    impl std::error::Error for Unprintable {}
    struct Fails;
    impl Source for Fails {
        fn name(&self) -> &str {
            "fails"
        }
        fn read(&mut self, _: Instant) -> Result<Option<Reading>, SourceError> {
            Err(Box::new(Unprintable))
        }
    }
    let stage = Stage::with(|builder| builder.source(Fails));
    assert_eq!(stage.poll(0.86), Urgent);
    let problem = stage.pressure.sources()[1].problem.clone();
    assert!(problem.is_some(), "it is told");
    assert_eq!(stage.pressure.stats().panics, 1);
}
