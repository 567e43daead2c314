//! Bytes that MLX does not count, registered by the program.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that MLX does not count, registered under a name until this is dropped: a decoder's buffers, a tokenizer, memory of
/// another library on the same device. Made by [`Monitor::uncounted`](super::Monitor::uncounted).
///
/// It may outlive the monitor.
#[must_use = "dropping it takes the bytes off again"]
pub struct Uncounted {
    registry: Arc<Registry>,
    name: Arc<str>,
    bytes: u64,
}

impl Uncounted {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says that it is another number of bytes now.
    pub fn set(&mut self, bytes: u64) {
        if self.registry.is_own() {
            let mut registered = self.registry.lock();
            registered.change(&self.name, self.bytes, bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Uncounted {
    fn drop(&mut self) {
        if self.registry.is_own() {
            self.registry.lock().remove(&self.name, self.bytes);
        }
    }
}

impl fmt::Debug for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uncounted")
            .field("name", &self.name)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// What is registered under a name. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct UncountedBytes {
    /// The name, as the program gave it: print it through [`print::Name`](crate::print::Name).
    pub name: Arc<str>,
    /// All that lives under it.
    pub bytes: u64,
    /// How many registrations live.
    pub live: u64,
    /// The largest that any has been since the first of those that live.
    pub largest: u64,
}

/// How often was registered and taken off.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) live: u64,
    pub(super) registered: u64,
    pub(super) largest: u64,
}

#[derive(Debug)]
pub(super) struct Registry {
    /// In a forked child the lock may be held for ever.
    process: u32,
    registered: Mutex<Registered>,
}

#[derive(Debug, Default)]
struct Registered {
    /// Sums that do not fit in 64 bits are no reason to be wrong afterwards.
    bytes: u128,
    counts: Counts,
    by_name: BTreeMap<Arc<str>, Named>,
}

#[derive(Debug, Default)]
struct Named {
    bytes: u128,
    live: u64,
    largest: u64,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            process: process::id(),
            registered: Mutex::default(),
        }
    }

    pub(super) fn register(self: &Arc<Self>, name: &str, bytes: u64) -> Uncounted {
        let name = if self.is_own() {
            self.lock().add(name, bytes)
        } else {
            name.into()
        };
        Uncounted {
            registry: self.clone(),
            name,
            bytes,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        clamped(self.lock().bytes)
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// What is registered, the largest first.
    pub(super) fn list(&self) -> Vec<UncountedBytes> {
        let registered = self.lock();
        let named = registered.by_name.iter();
        let mut list: Vec<_> = named
            .map(|(name, named)| UncountedBytes {
                name: name.clone(),
                bytes: clamped(named.bytes),
                live: named.live,
                largest: named.largest,
            })
            .collect();
        list.sort_by_key(|it| Reverse(it.bytes));
        list
    }

    fn is_own(&self) -> bool {
        self.process == process::id()
    }

    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    fn add(&mut self, name: &str, bytes: u64) -> Arc<str> {
        let known = self.by_name.get_key_value(name);
        let name = known.map_or_else(|| Arc::from(name), |(name, _)| name.clone());
        self.by_name.entry(name.clone()).or_default().live += 1;
        self.counts.live += 1;
        self.counts.registered += 1;
        self.change(&name, 0, bytes);
        name
    }

    fn change(&mut self, name: &str, from: u64, to: u64) {
        self.bytes = self.bytes - u128::from(from) + u128::from(to);
        self.counts.largest = self.counts.largest.max(to);
        if let Some(named) = self.by_name.get_mut(name) {
            named.bytes = named.bytes - u128::from(from) + u128::from(to);
            named.largest = named.largest.max(to);
        }
    }

    fn remove(&mut self, name: &str, bytes: u64) {
        self.change(name, bytes, 0);
        self.counts.live -= 1;
        if let Some(named) = self.by_name.get_mut(name) {
            named.live -= 1;
            if named.live == 0 {
                self.by_name.remove(name);
            }
        }
    }
}

fn clamped(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
