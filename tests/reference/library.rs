//! The model's words in the library's, and the other way round.

use crate::words::{Mode, Refusal, Settings};
use mlx_wired::{Config, Error, Obstacle, OnApplyFailure, WireMode};

/// The library's configuration of these settings.
pub(crate) fn config(settings: &Settings) -> Config {
    let mode = match settings.mode {
        Mode::Wired | Mode::Unsupported => WireMode::Auto,
        Mode::Never => WireMode::Never,
        Mode::Off => WireMode::Uncoordinated,
    };
    let on_failure = if settings.proceed {
        OnApplyFailure::Proceed
    } else {
        OnApplyFailure::Fail
    };
    Config::default()
        .mode(mode)
        .baseline_override(settings.baseline_override)
        .margin(settings.margin as f64 / 4.0)
        .shrink_threshold_ratio(settings.ratio as f64 / 100.0)
        .shrink_threshold_bytes(settings.threshold)
        .shrink_cooldown(settings.cooldown)
        .linger(settings.linger)
        .on_apply_failure(on_failure)
        .budget(settings.budget)
        .overtaking(settings.overtaking)
        .elastic(
            settings
                .elastic
                .map(|shares| shares.map(|share| share as f64 / 4.0)),
        )
        .pressure_patience(settings.patience)
        .growth_step(0)
        .housekeeping(false)
        .quiet(true)
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        assert_tells_true(&error);
        match error {
            Error::Timeout {
                requested,
                in_use,
                capacity,
                waited,
                waiting,
                ..
            } => Self::Timeout {
                requested,
                in_use,
                capacity,
                waited,
                waiting,
            },
            Error::Cancelled { requested, waited } => Self::Cancelled { requested, waited },
            Error::WouldBlock {
                requested,
                in_use,
                capacity,
                waiting,
                ..
            } => Self::WouldBlock {
                requested,
                in_use,
                capacity,
                waiting,
            },
            Error::NeverAdmissible { size, capacity, .. } => Self::Never { size, capacity },
            Error::WouldDeadlock { requested, .. } => Self::WouldDeadlock { requested },
            Error::NoRoom {
                size,
                capacity,
                held,
                holder,
                others,
                ..
            } => Self::NoRoom {
                size,
                capacity,
                held,
                largest: holder.bytes,
                others,
            },
            Error::GroupFull { requested, .. } => Self::Full { requested },
            Error::SetLimit { limit, .. } => Self::SetLimit { limit },
            Error::Closed => Self::Closed,
            other => Self::Other(other.to_string()),
        }
    }
}

/// What is told to be in the way lacks bytes exactly where bytes are missing.
fn assert_tells_true(error: &Error) {
    let (Error::Timeout {
        requested,
        in_use,
        capacity,
        waiting,
        obstacle,
        ..
    }
    | Error::WouldBlock {
        requested,
        in_use,
        capacity,
        waiting,
        obstacle,
    }) = error
    else {
        return;
    };
    let sum = in_use.saturating_add(*requested);
    let lacks = capacity.is_some_and(|capacity| sum > capacity);
    match obstacle {
        Obstacle::Cap | Obstacle::Device { .. } | Obstacle::Margin | Obstacle::Budget => {
            assert!(lacks, "{error:?}");
        }
        // A growing guard asks for less than its new size.
        Obstacle::Line => assert!(*waiting > 0, "{error:?}"),
        Obstacle::Policy
        | Obstacle::Pressure { .. }
        | Obstacle::Elastic { .. }
        | Obstacle::Promised
        | Obstacle::AtMost { .. } => {}
        other => panic!("{other:?} is not staged: {error:?}"),
    }
}
