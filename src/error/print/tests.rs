use super::*;
use crate::backend::BackendError;
use crate::error::Obstacle;
use crate::pressure::PressureLevel;

#[test]
fn bytes_are_written_for_people() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (3 << 30, "3 GiB"),
        (1_500_000, "1.43 MiB"),
        (u64::MAX, "16384 PiB"),
    ];
    for (bytes, text) in cases {
        assert_eq!(Bytes(bytes).to_string(), text);
    }
}

/// Those that are printed longest.
const BYTES: u64 = u64::MAX - (1 << 45);
const COUNT: usize = usize::MAX;

/// Of every obstacle, with its longest data.
fn obstacles() -> Vec<Obstacle> {
    let all = [
        Obstacle::Cap,
        Obstacle::Device {
            wired_limit_mb: Some(u32::MAX),
        },
        Obstacle::Margin,
        Obstacle::Reserve,
        Obstacle::Budget,
        Obstacle::Pressure { percent: u8::MAX },
        Obstacle::Policy,
        Obstacle::Elastic {
            level: PressureLevel::Critical,
            percent: u8::MAX,
        },
        Obstacle::Promised,
        Obstacle::AtMost { most: u32::MAX },
        Obstacle::Line,
        Obstacle::Setter,
    ];
    // A new one is added above.
    for obstacle in all {
        match obstacle {
            Obstacle::Cap
            | Obstacle::Device { .. }
            | Obstacle::Margin
            | Obstacle::Reserve
            | Obstacle::Budget
            | Obstacle::Pressure { .. }
            | Obstacle::Policy
            | Obstacle::Elastic { .. }
            | Obstacle::Promised
            | Obstacle::AtMost { .. }
            | Obstacle::Line
            | Obstacle::Setter => {}
        }
    }
    all.into()
}

fn contention(policy: &str) -> Box<Contention> {
    Box::new(Contention {
        policy: policy.into(),
        ..Contention::default()
    })
}

/// Every variant, with everything as long as it gets.
fn longest(name: &str) -> Vec<Error> {
    // 'static, as names of fields and resources are.
    let constant: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut errors = vec![
        Error::Cancelled {
            requested: BYTES,
            waited: Duration::MAX,
        },
        Error::GroupFull {
            what: GroupLimit::Bytes,
            requested: BYTES,
            maximum: BYTES,
        },
        Error::GroupFull {
            what: GroupLimit::DrivingGuards,
            requested: BYTES,
            maximum: u64::MAX,
        },
        Error::SetLimit {
            limit: BYTES,
            source: BackendError::new(name)
                .with_code(i32::MIN)
                .with_message(name),
        },
        Error::PolicyPanicked {
            policy: name.to_owned(),
            message: name.to_owned(),
        },
        Error::QueueFull { waiting: COUNT },
        Error::Reentrant,
        Error::Closed,
        Error::Forked,
        Error::BackendInUse {
            resource: constant,
            built_at: Location::caller(),
        },
        Error::SharedExists,
        Error::Busy { field: constant },
        Error::InvalidConfig {
            field: constant,
            reason: name.to_owned(),
        },
        Error::Release {
            reason: name.to_owned(),
        },
    ];
    errors.extend([None, Some(u32::MAX)].map(|at_most| Error::NoRoom {
        size: BYTES,
        capacity: Some(BYTES),
        held: BYTES,
        holder: std::sync::Arc::new(crate::error::StayingGuard {
            label: Some(name.into()),
            policy: name.into(),
            bytes: BYTES,
            kind: crate::Kind::Resident,
            leaked: false,
            place: Location::caller(),
        }),
        others: COUNT,
        at_most,
    }));
    errors.extend([1, COUNT].map(|threads| Error::WouldDeadlock {
        requested: BYTES,
        held: BYTES,
        held_at: Location::caller(),
        threads,
        contention: contention(name),
    }));
    for obstacle in obstacles() {
        for (in_use, capacity) in [(0, None), (BYTES, Some(BYTES))] {
            errors.extend([
                Error::Timeout {
                    requested: BYTES,
                    in_use,
                    capacity,
                    waited: Duration::MAX,
                    waiting: COUNT,
                    obstacle,
                    contention: contention(name),
                },
                Error::WouldBlock {
                    requested: BYTES,
                    in_use,
                    capacity,
                    waiting: COUNT,
                    obstacle,
                },
                Error::NeverAdmissible {
                    size: BYTES,
                    capacity,
                    obstacle,
                    contention: contention(name),
                },
            ]);
        }
    }
    errors
}

/// The variant's number. A new one does not compile here until it has one, and then is missed in [`longest`].
fn number(error: &Error) -> usize {
    match error {
        Error::Timeout { .. } => 0,
        Error::Cancelled { .. } => 1,
        Error::WouldBlock { .. } => 2,
        Error::NeverAdmissible { .. } => 3,
        Error::WouldDeadlock { .. } => 4,
        Error::GroupFull { .. } => 5,
        Error::SetLimit { .. } => 6,
        Error::PolicyPanicked { .. } => 7,
        Error::Reentrant => 8,
        Error::Closed => 9,
        Error::BackendInUse { .. } => 10,
        Error::SharedExists => 11,
        Error::Busy { .. } => 12,
        Error::InvalidConfig { .. } => 13,
        Error::Release { .. } => 14,
        Error::Forked => 15,
        Error::NoRoom { .. } => 16,
        Error::QueueFull { .. } => 17,
    }
}

const VARIANTS: usize = 18;

#[test]
fn r37_every_error_is_a_line_of_160_bytes_at_most_whatever_is_in_it() {
    let names = [
        "x".repeat(1 << 16),
        "\u{10ffff}".repeat(1 << 10),
        "模型".repeat(1 << 10),
        "\n".repeat(1 << 10),
        "\u{e0001}".repeat(1 << 10),
        "\u{1b}[2J\u{7}\r\n\t".repeat(100),
        String::new(),
    ];
    for name in &names {
        let mut seen = [false; VARIANTS];
        for error in longest(name) {
            seen[number(&error)] = true;
            let short = error.to_string();
            assert!(short.len() <= 160, "{} bytes: {short}", short.len());
            for text in [short, format!("{error:#}")] {
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
        assert!(!seen.contains(&false), "a variant is not among the longest");
    }
}

#[test]
fn r37_what_is_told_short_has_a_cure_and_no_other_ones() {
    for error in longest("gated") {
        let (short, all) = (error.to_string(), format!("{error:#}"));
        if let Error::Timeout {
            capacity: Some(_),
            obstacle,
            ..
        }
        | Error::WouldBlock {
            capacity: Some(_),
            obstacle,
            ..
        } = error
        {
            let words = [
                ("raise the cap", obstacle == Obstacle::Cap),
                ("lower the margin", obstacle == Obstacle::Margin),
                ("lower the reserve", obstacle == Obstacle::Reserve),
                ("raise the budget", obstacle == Obstacle::Budget),
                ("allow overtaking", obstacle == Obstacle::Line),
            ];
            for (cure, is_one) in words {
                assert_eq!(short.contains(cure), is_one, "{short}");
                assert_eq!(all.contains(cure), is_one, "{all}");
            }
            let raises = matches!(obstacle, Obstacle::Device { .. });
            assert_eq!(all.contains("iogpu.wired_limit_mb=4294967295"), raises);
        }
        assert!(all.len() >= short.len(), "{short}\n{all}");
    }
}

#[test]
fn a_circle_of_one_is_not_written_as_several() {
    let circle = |threads| {
        let error = Error::WouldDeadlock {
            requested: 1 << 20,
            held: 2 << 20,
            held_at: Location::caller(),
            threads,
            contention: Box::default(),
        };
        format!("{error:#}")
    };
    let one = circle(1);
    let this = "this thread holds what it waits for, among it 2 MiB acquired at ";
    assert!(one.contains(this), "{one}");
    let two = circle(2);
    assert!(two.contains("2 threads hold what they wait for"), "{two}");
}

#[test]
fn r18_a_refusal_says_what_refuses_and_at_how_much() {
    let refused = |obstacle, capacity| {
        let error = Error::NeverAdmissible {
            size: 3 << 30,
            capacity,
            obstacle,
            contention: contention("tenants"),
        };
        error.to_string()
    };
    let device = Obstacle::Device {
        wired_limit_mb: Some(3072),
    };
    let cases = [
        (
            refused(Obstacle::Cap, Some(2 << 30)),
            "3 GiB never fits into the 2 GiB its policy allows; split the work or raise the cap",
        ),
        (
            refused(device, Some(2 << 30)),
            "3 GiB never fits into the 2 GiB the device leaves; split the work, or run `sudo sysctl \
             iogpu.wired_limit_mb=3072` and start again",
        ),
        (
            refused(Obstacle::Reserve, Some(2 << 30)),
            "3 GiB never fits into the 2 GiB the reserve leaves; split the work or lower the reserve",
        ),
        (
            refused(Obstacle::Policy, None),
            "policy tenants never admits 3 GiB, not even alone; split the work",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(text, expected);
    }
}

#[test]
fn r37_releasing_is_a_cure_only_where_something_is_held() {
    let waits = |in_use, obstacle| {
        let error = Error::Timeout {
            requested: 10,
            in_use,
            capacity: Some(60),
            waited: Duration::from_secs(1),
            waiting: 2,
            obstacle,
            contention: contention("tenants"),
        };
        [error.to_string(), format!("{error:#}")]
    };
    assert_eq!(
        waits(60, Obstacle::Cap),
        [
            "10 B not admitted after 1.0s: 60 B of the 60 B its policy allows in use; wait longer, release guards or raise the \
             cap",
            "10 B not admitted after 1.0s: 60 B of the 60 B its policy allows in use, 2 more waiting; wait longer, ask for less, \
             release guards or raise the cap",
        ]
    );
    for obstacle in obstacles() {
        // Of these some live, if of no bytes.
        let held = matches!(obstacle, Obstacle::AtMost { .. });
        for text in waits(0, obstacle) {
            assert_eq!(text.contains("release"), held, "{text}");
        }
    }
}

#[test]
fn r37_no_error_names_a_pool_as_a_cure() {
    for error in longest(&Name::new("gated").to_string()) {
        let text = format!("{error}\n{error:#}");
        assert!(
            !text.contains("pool") && !text.contains("install"),
            "{text}"
        );
    }
}
