//! What a snapshot must tell, by the model.

use crate::model::Model;
use crate::words::Waiter;
use mlx_wired::{Manager, snapshot::Snapshot};
use std::time::Duration;

/// A group's guards, the reservations among them, their bytes, and who waits.
type Group = (u64, u64, u64, usize);
/// What a waiter asks for, what it holds meanwhile, since when, how often it was overtaken, and whether it is set aside.
type Waits = (u64, Option<u64>, Duration, u64, bool);

pub(crate) fn compare(manager: &Manager, model: &Model) {
    let snapshot = manager.snapshot();
    assert_eq!(snapshot.closed, model.closed, "closed");
    let epoch = model.epoch.map(|epoch| epoch.number);
    assert_eq!(snapshot.epoch, epoch, "the open epoch");
    assert_eq!(snapshot.baseline, model.baseline(), "the baseline");
    assert_eq!(snapshot.applied, model.in_force(), "applied");
    if !model.live.values().any(|live| live.rule.is_custom()) {
        // Of a custom policy it tells the last answer, and not each release asks.
        assert_eq!(snapshot.desired, model.called_for(), "desired");
    }
    assert_eq!(snapshot.budget, model.settings.budget, "the budget");
    let pressed = (snapshot.level, snapshot.share);
    let share = model.quarters() as f64 / 4.0;
    assert_eq!(pressed, (model.level(), share), "level and share");
    let live = model.live.values().map(|live| live.bytes);
    let told = (snapshot.live, snapshot.live_bytes);
    assert_eq!(told, (model.live.len() as u64, live.sum()), "live");
    assert!(snapshot.guards_add_up && !snapshot.setting && snapshot.uncovered == 0);
    let waited = (snapshot.wait_times.count, model.counts.granted_waits);
    assert_eq!(waited.0, waited.1, "waits that gave a guard");
    assert_eq!(groups_of(&snapshot), groups(model), "groups");
    assert_eq!(waits_of(&snapshot), waits(model), "waits");
    let owed = (snapshot.owed.shrink_in, snapshot.owed.restore_in);
    assert_eq!(owed, model.owed(), "a shrink, a restore that is owed");
}

fn groups_of(snapshot: &Snapshot) -> Vec<Group> {
    let groups = snapshot.groups.iter();
    let mut groups: Vec<_> = groups
        .map(|it| (it.guards, it.reservations, it.bytes, it.waiting))
        .collect();
    groups.sort_unstable();
    groups
}

fn groups(model: &Model) -> Vec<Group> {
    let of_one = |group: &&'static str| {
        let live = || model.live.values().filter(|live| live.group == *group);
        let reservations = live().filter(|live| !live.kind.is_driving());
        let waiting = model.waiters().filter(|it| it.request.live.group == *group);
        (
            live().count() as u64,
            reservations.count() as u64,
            live().map(|live| live.bytes).sum(),
            waiting.count(),
        )
    };
    let groups = model.groups.iter().map(of_one);
    let mut groups: Vec<_> = groups.filter(|it| it.0 > 0 || it.3 > 0).collect();
    groups.sort_unstable();
    groups
}

fn waits_of(snapshot: &Snapshot) -> Vec<Waits> {
    let waiters = snapshot.waiters.iter();
    let mut waits: Vec<_> = waiters
        .map(|it| (it.bytes, it.held, it.waited, it.overtaken, it.set_aside))
        .collect();
    waits.sort_unstable();
    waits
}

fn waits(model: &Model) -> Vec<Waits> {
    let of_one = |waiter: &Waiter| {
        let request = &waiter.request;
        let held = request.grows.then(|| model.live[&request.guard].bytes);
        let waited = model.now - waiter.since;
        (
            request.live.bytes,
            held,
            waited,
            waiter.overtaken,
            waiter.aside,
        )
    };
    let mut waits: Vec<_> = model.waiters().map(of_one).collect();
    waits.sort_unstable();
    waits
}
