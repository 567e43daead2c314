//! The pressure: it rises to critical and falls back to normal while batches go on.

use crate::Failure;
use mlx_wired::clock::FakeClock;
use mlx_wired::memory::{BufferPool, Pressure, Scripted, Subscription};
use mlx_wired::{Manager, PressureLevel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When a level may fall by one, by the script's own clock.
const CALM: Duration = Duration::from_secs(10);
/// At which tenth of the batches how much of the memory is in use.
const USED: [(u64, f64); 7] = [
    (3, 0.80),
    (4, 0.90),
    (5, 0.97),
    (6, 0.20),
    (7, 0.20),
    (8, 0.20),
    (9, 0.20),
];

pub(crate) struct Script {
    source: Scripted,
    clock: FakeClock,
    pressure: Pressure,
    levels: Arc<Mutex<Vec<PressureLevel>>>,
    _told: Subscription,
    batches: u64,
    next: usize,
}

impl Script {
    pub(crate) fn new(manager: &Manager, pool: &BufferPool, batches: u64) -> Result<Self, Failure> {
        let (source, clock) = (Scripted::new("script"), FakeClock::new());
        let pressure = Pressure::builder()
            .manager(manager)
            .source(source.clone())
            .clock(clock.clone())
            .calm_for(CALM)
            .build()?;
        source.used(0.1);
        pressure.poll();
        let levels = Arc::new(Mutex::new(vec![pressure.level()]));
        let (seen, pool) = (levels.clone(), pool.clone());
        let told = pressure.on_level(PressureLevel::Normal, move |change| {
            pool.set_pressure(change.to);
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(change.to);
        });
        Ok(Self {
            source,
            clock,
            pressure,
            levels,
            _told: told,
            batches,
            next: 0,
        })
    }

    /// What the script says when so many batches are done.
    pub(crate) fn batch(&mut self, done: u64) {
        while let Some((tenth, used)) = USED.get(self.next)
            && done * 10 >= self.batches * tenth
        {
            self.source.used(*used);
            self.clock.advance(CALM);
            self.pressure.poll();
            self.next += 1;
        }
    }

    /// The levels that were reported, in order.
    pub(crate) fn end(self) -> Vec<PressureLevel> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.clone()
    }
}
