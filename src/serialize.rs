//! How the standard library's types are written by serde: times as seconds, locations as text, threads by number.

use crate::print::thread_number;
use crate::sync::ThreadId;
use serde::{Serialize, Serializer};
use std::panic::Location;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Seconds.
pub(crate) mod duration {
    use super::{Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(crate) mod optional {
        use super::{Duration, Serializer};
        use serde::Serialize;

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            time.map(|time| time.as_secs_f64()).serialize(to)
        }
    }
}

/// Seconds after the first time that was written in this process; negative before it.
pub(crate) mod instant {
    use super::{Instant, OnceLock, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Instant, to: S) -> Result<S::Ok, S::Error> {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(|| *time);
        to.serialize_f64(match time.checked_duration_since(origin) {
            Some(after) => after.as_secs_f64(),
            None => -(origin - *time).as_secs_f64(),
        })
    }
}

/// `file:line:column`.
pub(crate) mod place {
    use super::{Location, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        place: &&'static Location<'static>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(place)
    }

    pub(crate) mod optional {
        use super::{Location, Serializer};
        use serde::Serialize;

        pub(crate) fn serialize<S: Serializer>(
            place: &Option<&'static Location<'static>>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            place.map(ToString::to_string).serialize(to)
        }
    }
}

/// The thread's number in the process.
pub(crate) mod thread {
    use super::{Serializer, ThreadId, thread_number};

    pub(crate) fn serialize<S: Serializer>(thread: &ThreadId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(thread_number(*thread))
    }
}

/// Pairs of seconds and a count.
pub(crate) mod buckets {
    use super::{Duration, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        buckets: &[(Duration, u64)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let written: Vec<(f64, u64)> = buckets
            .iter()
            .map(|(below, count)| (below.as_secs_f64(), *count))
            .collect();
        written.serialize(to)
    }
}
