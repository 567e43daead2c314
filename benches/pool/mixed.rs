//! Mixed sizes: what is resident while buffers of 1 to 64 MiB come and go, four alive, and what of it is waste.

use crate::givers::{Buffer, MIB, Plain, pool, touch};
use crate::report::Report;
use std::collections::VecDeque;

const ALIVE: usize = 4;
/// A 12th, and what the draw adds.
const WASTE: f64 = 0.12;

pub(crate) fn run(report: &mut Report) {
    waste(report);
    resident(report);
}

/// The sizes of a row, the same in each.
fn sizes(report: &Report) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(7);
    let count = if report.is_quick() { 20 } else { 400 };
    (0..count).map(|_| random.usize(MIB..64 * MIB)).collect()
}

/// The part of the capacities that was not asked for.
fn waste(report: &mut Report) {
    let (ours, powers) = ("mixed/waste/pool", "mixed/waste/powers-of-two");
    if !report.wants(ours) && !report.wants(powers) {
        return;
    }
    let (pool, sizes) = (pool(), sizes(report));
    let asked: usize = sizes.iter().sum();
    let of = |capacity: u64| 1.0 - asked as f64 / capacity as f64;
    let capacity = |len: usize| pool.get(len).expect("there is no limit").capacity();
    let four: u64 = sizes.iter().map(|len| capacity(*len)).sum();
    let two: u64 = sizes.iter().map(|len| len.next_power_of_two() as u64).sum();
    report.at_most(ours, of(four), WASTE, None);
    report.peer(powers, of(two), None);
}

/// The most that was resident, in multiples of the allocator's.
fn resident(report: &mut Report) {
    let names = ["plain", "pool", "pool-idle-64MiB", "powers-of-two"]
        .map(|giver| format!("mixed/resident/{giver}"));
    if !names.iter().any(|name| report.wants(name)) {
        return;
    }
    let sizes = sizes(report);
    let bounded = mlx_wired::memory::BufferPool::builder("bench")
        .idle_limit(64 << 20)
        .build();
    let unbounded = pool();
    let powers = pool();
    let get = |pool: &mlx_wired::memory::BufferPool, len| pool.get(len).expect("no limit");
    let most = [
        peak(&sizes, Plain::new),
        peak(&sizes, |len| get(&bounded, len)),
        peak(&sizes, |len| get(&unbounded, len)),
        peak(&sizes, |len| get(&powers, len.next_power_of_two())),
    ];
    // The last measured held what those before it kept.
    let [plain, ours, idle, powers] = names;
    let Some([of_plain, of_bounded, of_pool, of_powers]) = all(most) else {
        for name in [plain, ours, idle, powers] {
            report.skip(name, None);
        }
        return;
    };
    report.peer(plain, 1.0, None);
    report.info(ours, of_pool / of_plain, None);
    report.info(idle, of_bounded / of_plain, None);
    report.peer(powers, of_powers / of_plain, None);
}

fn all(values: [Option<f64>; 4]) -> Option<[f64; 4]> {
    let [one, two, three, four] = values;
    Some([one?, two?, three?, four?])
}

/// The most bytes that this thread's buffers kept resident beyond what was there; none where the system does not say.
fn peak<B: Buffer>(sizes: &[usize], mut give: impl FnMut(usize) -> B) -> Option<f64> {
    let before = now()?;
    let mut most = 0.0_f64;
    let mut queue = VecDeque::with_capacity(ALIVE);
    for len in sizes {
        if queue.len() == ALIVE {
            drop(queue.pop_front());
        }
        let mut buffer = give(*len);
        touch(buffer.bytes());
        queue.push_back(buffer);
        most = most.max(now()? - before);
    }
    Some(most)
}

/// Resident bytes of the process.
fn now() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096.0)
}
