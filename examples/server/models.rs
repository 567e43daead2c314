//! The models: which are loaded, loading another, and giving one back when memory is short.
//!
//! A model is an `Arc`: the table holds one, and each request that runs it another. So evicting it is to take it out of the
//! table: requests that run it go on, later ones do not find it, and its weights and its guard go with the last `Arc`.

use crate::account::{Account, Counted};
use crate::connection::{Connection, Refusal};
use crate::server::{LARGEST_CACHE, MIB};
use mlx_wired::{Manager, OwnedGuard, Shortage, SumPolicy, Ticket};
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// What can be asked for: name and bytes of the weights. Any two fit with a cache beside them; the three do not.
pub(crate) const CATALOGUE: [(&str, u64); 3] = [
    ("small", 7 * 1024 * MIB),
    ("coder", 9 * 1024 * MIB),
    ("large", 12 * 1024 * MIB),
];

/// Stands for reading the weights.
const READING: Duration = Duration::from_millis(25);

/// A loaded model.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    bytes: u64,
    // The weights stand before the guard, so that they are gone when it goes.
    _weights: [Counted; 2],
    _guard: OwnedGuard,
}

pub(crate) struct Models {
    tickets: [Ticket; CATALOGUE.len()],
    account: Arc<Account>,
    /// Never held around an acquire: `give_back` takes it while an acquire waits.
    table: Mutex<Table>,
    /// A model was loaded or could not be, or a client hung up.
    changed: Condvar,
}

#[derive(Default)]
struct Table {
    loaded: [Option<Loaded>; CATALOGUE.len()],
    /// A thread loads a model.
    loading: bool,
    /// Evicted, and still run by requests.
    leaving: Vec<(u64, Weak<Model>)>,
    loads: u64,
    evicted: u64,
}

struct Loaded {
    model: Arc<Model>,
    last_used: Instant,
}

impl Models {
    pub(crate) fn new(manager: &Manager, policy: &SumPolicy, account: Arc<Account>) -> Self {
        let ticket = |(name, bytes)| {
            manager
                .ticket(policy, bytes)
                // It holds the limit up between requests, or the first token after a pause would be slow.
                .resident()
                // Another model may have its place.
                .evictable()
                // No set of models is let in that leaves no room for a request: each gets its cache in the end, since what it
                // waits for is requests that end.
                .room_for(LARGEST_CACHE)
                .label(name)
        };
        Self {
            tickets: CATALOGUE.map(ticket),
            account,
            table: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// A model to run for as long as the `Arc` lives, loaded by this thread if need be.
    pub(crate) fn get(&self, which: usize, connection: &Connection) -> Result<Arc<Model>, Refusal> {
        let mut table = self.table.lock();
        loop {
            if let Some(loaded) = &mut table.loaded[which] {
                loaded.last_used = Instant::now();
                return Ok(Arc::clone(&loaded.model));
            }
            if connection.is_over() {
                return Err(Refusal::GaveUp);
            }
            // One load at a time. A second would wait behind it in any case, and then evict what was just loaded.
            if !table.loading {
                break;
            }
            self.changed.wait_until(&mut table, connection.deadline());
        }
        table.loading = true;
        drop(table);

        let turn = Turn(self);
        let model = self.load(which, connection)?;
        let loaded = Loaded {
            model: Arc::clone(&model),
            last_used: Instant::now(),
        };
        let mut table = self.table.lock();
        table.loaded[which] = Some(loaded);
        table.loads += 1;
        drop(table);
        drop(turn);
        Ok(model)
    }

    /// Requests of loaded models go on meanwhile: while this waits for room it is not in their line, and reading the weights
    /// needs no lock.
    fn load(&self, which: usize, connection: &Connection) -> Result<Arc<Model>, Refusal> {
        let (name, bytes) = CATALOGUE[which];
        let _loading = self.account.loading.count(1);
        // Before a byte is read. If it does not fit, `give_back` runs in this call, on this thread.
        let guard = self.tickets[which].acquire_owned_with(connection.wait())?;
        let weights = [&self.account.promised, &self.account.used].map(|it| it.count(bytes));
        thread::sleep(READING);
        Ok(Arc::new(Model {
            name,
            bytes,
            _weights: weights,
            _guard: guard,
        }))
    }

    /// For [`Manager::on_shortage`]: evicts the model that was not asked for the longest, idle ones first, until enough is
    /// free or on its way.
    pub(crate) fn give_back(&self, shortage: &Shortage) {
        let mut table = self.table.lock();
        // Asked again each second, while what was evicted before may still run.
        table.leaving.retain(|(_, model)| model.strong_count() > 0);
        let mut bytes: u64 = table.leaving.iter().map(|(bytes, _)| bytes).sum();
        let mut evicted = Vec::new();
        while bytes < shortage.missing
            && let Some(loaded) = table.take_oldest()
        {
            bytes += loaded.model.bytes;
            let leaving = (loaded.model.bytes, Arc::downgrade(&loaded.model));
            table.leaving.push(leaving);
            evicted.push(loaded);
        }
        table.evicted += evicted.len() as u64;
        drop(table);
        // Not under the lock: a release may call MLX's setter.
        drop(evicted);
    }

    /// Lets those that wait for a model see that their client has gone.
    pub(crate) fn look_again(&self) {
        // Under the lock, so that it comes before another's look or after the beginning of its wait.
        let _table = self.table.lock();
        self.changed.notify_all();
    }

    /// Gives all back.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut self.table.lock().loaded);
        drop(all);
    }

    /// How many models were loaded, and how many were evicted.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let table = self.table.lock();
        (table.loads, table.evicted)
    }
}

impl Table {
    fn take_oldest(&mut self) -> Option<Loaded> {
        let loaded = self.loaded.iter_mut().filter(|slot| slot.is_some());
        let oldest = loaded.min_by_key(|slot| {
            let loaded = slot.as_ref();
            // Beside the table's own. Requests take theirs under the lock.
            let in_use = |loaded: &Loaded| Arc::strong_count(&loaded.model) > 1;
            loaded.map(|loaded| (in_use(loaded), loaded.last_used))
        });
        oldest.and_then(Option::take)
    }
}

/// The turn to load. Given back on every way out, so that the next thread that wants a model may try.
struct Turn<'a>(&'a Models);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.table.lock().loading = false;
        self.0.changed.notify_all();
    }
}
