//! The guards that are in no slab, under a lock.

use super::record::OWNED;
use super::{Place, Record, SLOTS, Seen};
use crate::sync::unmodelled::Mutex;
use crate::sync::{Thread, current_thread};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

static LISTED: Mutex<Option<HashMap<u64, Listed>>> = Mutex::new(None);
static NEXT_LISTED: AtomicU64 = AtomicU64::new(SLOTS as u64);

pub(super) struct Listed {
    pub(super) ticket: u64,
    place: Place,
    thread: Thread,
    /// Released wherever it is dropped: no thread holds it.
    owned: bool,
    /// The thread that grows it, and holds it meanwhile.
    pub(super) grower: Option<Thread>,
    pub(super) since: Option<Instant>,
    pub(super) leaked: bool,
    /// Its thread has ended, and no other can release it.
    ended: bool,
}

/// Records a borrowed guard that no slot has room for.
pub(super) fn list(ticket: u64, place: Place) -> Record {
    list_as(ticket, place, false)
}

/// Records an owned guard.
pub(crate) fn list_owned(ticket: u64, place: Place) -> Record {
    list_as(ticket, place, true)
}

#[cold]
fn list_as(ticket: u64, place: Place, owned: bool) -> Record {
    // Only uniqueness matters.
    let number = NEXT_LISTED.fetch_add(1, Ordering::Relaxed);
    let key = if owned { number | OWNED } else { number };
    let listed = Listed {
        ticket,
        place,
        thread: current_thread(),
        owned,
        grower: None,
        since: None,
        leaked: false,
        ended: false,
    };
    LISTED.lock().get_or_insert_default().insert(key, listed);
    Record(key)
}

pub(super) fn change(record: Record, change: impl FnOnce(&mut Listed)) {
    let mut all = LISTED.lock();
    if let Some(listed) = all.as_mut().and_then(|all| all.get_mut(&record.key())) {
        change(listed);
    }
}

pub(super) fn place_of(record: Record) -> Option<Place> {
    let all = LISTED.lock();
    let listed = all.as_ref()?.get(&record.key())?;
    Some(listed.place)
}

pub(super) fn remove(record: Record) {
    if let Some(listed) = &mut *LISTED.lock() {
        listed.remove(&record.key());
    }
}

/// Notes that a thread has ended.
pub(super) fn note_end(thread: &Mutex<Option<Thread>>) {
    let ended = thread.lock().as_ref().map(Thread::id);
    let mut all = LISTED.lock();
    for listed in all.iter_mut().flat_map(HashMap::values_mut) {
        listed.ended |= !listed.owned && Some(listed.thread.id()) == ended;
    }
}

pub(super) fn all() -> Vec<Seen> {
    let all = LISTED.lock();
    let listed = all.iter().flat_map(HashMap::values);
    listed
        .map(|listed| Seen {
            ticket: listed.ticket,
            place: listed.place,
            thread: listed.grower.as_ref().unwrap_or(&listed.thread).clone(),
            bound: !listed.owned || listed.grower.is_some(),
            since: listed.since,
            leaked: listed.leaked,
            ended: listed.ended,
        })
        .collect()
}
