//! What the monitor reads: sources, and what they say.

use crate::PressureLevel;
use crate::clock::Waker;
use crate::print::Bytes;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a source could not be read for.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Something that tells how scarce memory is.
///
/// ```
/// use mlx_wired::memory::{Pressure, Reading, Source, SourceError};
/// use std::time::Instant;
///
/// /// Rows in a queue of the program's own, which holds 1000.
/// struct Queue(std::sync::mpsc::Receiver<u64>);
///
/// impl Source for Queue {
///     fn name(&self) -> &str {
///         "queue"
///     }
///
///     fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
///         Ok(self.0.try_iter().last().map(|rows| Reading::used(rows, 1000)))
///     }
/// }
///
/// let (rows, queue) = std::sync::mpsc::channel();
/// let pressure = Pressure::builder().source(Queue(queue)).build()?;
/// rows.send(900).unwrap();
/// pressure.poll();
/// assert_eq!(pressure.level().to_string(), "urgent");
/// # Ok::<(), mlx_wired::memory::Error>(())
/// ```
pub trait Source: Send + 'static {
    /// Its name, for people: a word or two.
    fn name(&self) -> &str;

    /// Reads it. `now` is the monitor's time, for what counts by differences. It is called at each poll, and again in the same
    /// poll after something was given back: two calls may come at one time.
    ///
    /// `None`: it has nothing to say, as a container without a limit, or a first reading of what counts by differences.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not what it should be. That is told [once](super::Pressure::on_source) until it is read
    /// again, and is no sign of pressure. A panic counts as an error.
    fn read(&mut self, now: Instant) -> Result<Option<Reading>, SourceError>;

    /// Takes a handle that makes the monitor's thread read at once, for sources that are told of changes. Called once, before
    /// the first reading. The default does without.
    fn watch(&mut self, waker: &Waker) {
        let _ = waker;
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn read(&mut self, now: Instant) -> Result<Option<Reading>, SourceError> {
        (**self).read(now)
    }

    fn watch(&mut self, waker: &Waker) {
        (**self).watch(waker);
    }
}

/// What a source says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    used: Option<(u64, u64)>,
    stalled: Option<f64>,
    level: Option<PressureLevel>,
}

impl Reading {
    const NOTHING: Self = Self {
        used: None,
        stalled: None,
        level: None,
    };

    /// So much is in use of so much, in any unit; bytes are printed as bytes. Less what can be had back at once.
    #[must_use]
    pub fn used(used: u64, of: u64) -> Self {
        Self {
            used: Some((used, of)),
            ..Self::NOTHING
        }
    }

    /// So much of the time since the last reading some thread waited for memory, from 0 to 1.
    ///
    /// That is a sign of too little memory, or of files that are read for the first time. So it is trusted less than what is in
    /// use: it counts only while some source of use is over its line for a warning, or while a source cannot be read, or where
    /// no source tells a use.
    #[must_use]
    pub fn stalled(share: f64) -> Self {
        Self {
            stalled: Some(share_of(share)),
            ..Self::NOTHING
        }
    }

    /// The system's own judgement: it counts as it is.
    #[must_use]
    pub fn level(level: PressureLevel) -> Self {
        Self {
            level: Some(level),
            ..Self::NOTHING
        }
    }

    /// Adds a share of stalls to a use. It counts only while this use is over its line for a warning.
    #[must_use]
    pub fn and_stalled(self, share: f64) -> Self {
        Self {
            stalled: Some(share_of(share)),
            ..self
        }
    }

    /// The part that is in use, from 0 on; above 1 where more is in use than there is. Never NaN: nothing of nothing is 0, and
    /// something of nothing is 1.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        self.used.map(|(used, of)| match (used, of) {
            (0, _) => 0.0,
            (_, 0) => 1.0,
            (used, of) => used as f64 / of as f64,
        })
    }

    /// What is in use, and of how much.
    #[must_use]
    pub fn get_used(&self) -> Option<(u64, u64)> {
        self.used
    }

    /// The share of stalls, from 0 to 1.
    #[must_use]
    pub fn get_stalled(&self) -> Option<f64> {
        self.stalled
    }

    /// The system's own judgement.
    #[must_use]
    pub fn get_level(&self) -> Option<PressureLevel> {
        self.level
    }
}

/// From 0 to 1; what is no number is 0, since it is no sign of pressure.
fn share_of(share: f64) -> f64 {
    if share.is_nan() {
        0.0
    } else {
        share.clamp(0.0, 1.0)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        if let Some((used, of)) = self.used {
            write!(f, "{} of {} in use", Bytes(used), Bytes(of))?;
            before = ", ";
        }
        if let Some(share) = self.stalled {
            write!(f, "{before}stalled {:.1} % of the time", 100.0 * share)?;
            before = ", ";
        }
        if let Some(level) = self.level {
            write!(f, "{before}{level} by its own judgement")?;
        }
        Ok(())
    }
}

/// A source that says what a test tells it to. Clones share what that is.
///
/// ```
/// use mlx_wired::memory::{Pressure, Scripted};
///
/// let script = Scripted::new("test");
/// let pressure = Pressure::builder().source(script.clone()).build()?;
/// script.used(0.97);
/// pressure.poll();
/// assert_eq!(pressure.level().to_string(), "critical");
/// # Ok::<(), mlx_wired::memory::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scripted {
    name: Arc<str>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    says: Result<Option<Reading>, String>,
    readings: u64,
    waker: Option<Waker>,
}

impl Scripted {
    /// A source that has nothing to say.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let script = Script {
            says: Ok(None),
            readings: 0,
            waker: None,
        };
        Self {
            name: name.into(),
            script: Arc::new(Mutex::new(script)),
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this part is in use, of 1 GiB, rounded up to a byte.
    pub fn used(&self, fraction: f64) {
        const OF: u64 = 1 << 30;
        self.says(Reading::used((fraction * OF as f64).ceil() as u64, OF));
    }

    /// From now on it says this.
    pub fn says(&self, reading: impl Into<Option<Reading>>) {
        self.script().says = Ok(reading.into());
    }

    /// From now on it cannot be read.
    pub fn fails(&self, why: &str) {
        self.script().says = Err(why.to_owned());
    }

    /// Makes the monitor's thread read at once.
    pub fn wake(&self) {
        let waker = self.script().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How often it was read.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.script().readings
    }
}

impl Source for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, _now: Instant) -> Result<Option<Reading>, SourceError> {
        let mut script = self.script();
        script.readings += 1;
        script.says.clone().map_err(Into::into)
    }

    fn watch(&mut self, waker: &Waker) {
        self.script().waker = Some(waker.clone());
    }
}
