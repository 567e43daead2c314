//! The time of a buffer: taken, touched or not, and given back.
//!
//! Ratios are to the allocator in the same round.

use crate::givers::{Buffer, Huge, MIB, Plain, fill, leave, pool, touch};
use crate::method::{self, Cost};
use crate::report::Report;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::time::Instant;

/// How many buffers live at once in the rows of a queue.
const QUEUE: usize = 4;

pub(crate) fn run(report: &mut Report) {
    for (mib, bar) in [(1, None), (16, None), (32, Some(0.2)), (64, Some(0.2))] {
        rows(report, &format!("touched/one/{mib}MiB"), mib, 1, touch, bar);
    }
    let four = format!("touched/{QUEUE}-alive/64MiB");
    rows(report, &four, 64, QUEUE, touch, Some(0.4));
    rows(report, "untouched/one/64MiB", 64, 1, leave, None);
    filled(report);
    pairs(report);
}

/// The allocator, the pool, and huge pages.
fn rows(
    report: &mut Report,
    name: &str,
    mib: usize,
    alive: usize,
    use_it: fn(&mut [MaybeUninit<u8>]),
    bar: Option<f64>,
) {
    let names = ["pool", "huge-pages", "plain"].map(|giver| format!("{name}/{giver}"));
    if !names.iter().any(|name| report.wants(name)) {
        return;
    }
    let len = mib * MIB;
    let buffers = pool();
    let costs = interleave(report, 3, |subject| match subject {
        0 => time(alive, || Plain::new(len), use_it),
        1 => time(
            alive,
            || buffers.get(len).expect("there is no limit"),
            use_it,
        ),
        _ => time(alive, || Huge::new(len), use_it),
    });
    let [ours, huge, plain] = names;
    report.peer(plain, 1.0, Some(costs[0].time));
    judged(report, ours, costs[1], bar);
    report.peer(huge, costs[2].ratio, Some(costs[2].time));
}

fn judged(report: &mut Report, name: String, cost: Cost, bar: Option<f64>) {
    match bar {
        Some(bar) => report.at_most(name, cost.ratio, bar, Some(cost.time)),
        None => report.info(name, cost.ratio, Some(cost.time)),
    }
}

fn interleave(report: &Report, subjects: usize, time: impl FnMut(usize) -> f64) -> Vec<Cost> {
    let rounds = if report.is_quick() { 1 } else { 15 };
    method::interleave(subjects, rounds, time)
}

/// Nanoseconds for each buffer, of several, with so many alive.
fn time<B: Buffer>(
    alive: usize,
    mut give: impl FnMut() -> B,
    use_it: fn(&mut [MaybeUninit<u8>]),
) -> f64 {
    const BUFFERS: usize = 8;
    let mut queue = VecDeque::with_capacity(alive);
    let start = Instant::now();
    for _ in 0..BUFFERS {
        if queue.len() == alive {
            drop(queue.pop_front());
        }
        let mut buffer = give();
        use_it(buffer.bytes());
        queue.push_back(buffer);
    }
    drop(queue);
    start.elapsed().as_nanos() as f64 / BUFFERS as f64
}

/// All written: what MLX can be compared with, whose arrays are always written.
fn filled(report: &mut Report) {
    const NAME: &str = "filled/one/64MiB";
    const LEN: usize = 64 * MIB;
    let name = |giver: &str| format!("{NAME}/{giver}");
    let mlx = [("mlx-cache-32MiB", 32 * MIB), ("mlx-cache-1GiB", 1 << 30)];
    let names = ["pool", "huge-pages", "plain", mlx[0].0, mlx[1].0];
    if !names.iter().any(|giver| report.wants(&name(giver))) {
        return;
    }
    let buffers = pool();
    let subjects = if mlx_wired::ffi::LINKED { 5 } else { 3 };
    let costs = interleave(report, subjects, |subject| match subject {
        0 => time(1, || Plain::new(LEN), fill),
        1 => time(1, || buffers.get(LEN).expect("there is no limit"), fill),
        2 => time(1, || Huge::new(LEN), fill),
        place => arrays::time(LEN, mlx[place - 3].1),
    });
    report.peer(name("plain"), 1.0, Some(costs[0].time));
    report.info(name("pool"), costs[1].ratio, Some(costs[1].time));
    report.peer(name("huge-pages"), costs[2].ratio, Some(costs[2].time));
    for (place, (giver, _)) in mlx.into_iter().enumerate() {
        match costs.get(place + 3) {
            Some(cost) => report.peer(name(giver), cost.ratio, Some(cost.time)),
            None => report.skip(name(giver), None),
        }
    }
}

#[cfg(any(target_vendor = "apple", with_mlx))]
mod arrays {
    use std::time::Instant;

    /// Nanoseconds for an array of so many bytes, evaluated and dropped, with this limit of MLX's cache.
    pub(crate) fn time(len: usize, cache: usize) -> f64 {
        const ARRAYS: usize = 8;
        let before = mlx_rs::memory::set_cache_limit(cache).expect("MLX works");
        let shape = [i32::try_from(len / 4).expect("it is small enough")];
        let make = || {
            let array = mlx_rs::Array::full::<f32>(&shape, mlx_rs::array!(1.0_f32));
            array.expect("MLX works").eval().expect("MLX works");
        };
        // What the other limit has left is not this one's.
        make();
        let start = Instant::now();
        for _ in 0..ARRAYS {
            make();
        }
        let time = start.elapsed().as_nanos() as f64 / ARRAYS as f64;
        mlx_rs::memory::set_cache_limit(before).expect("MLX works");
        mlx_rs::memory::clear_cache().expect("MLX works");
        time
    }
}

#[cfg(not(any(target_vendor = "apple", with_mlx)))]
mod arrays {
    pub(crate) fn time(_len: usize, _cache: usize) -> f64 {
        unreachable!("there are no such subjects")
    }
}

/// Nanoseconds of a `get` and a drop, nothing touched: on one thread, and on two at once.
fn pairs(report: &mut Report) {
    const PAIRS: u32 = 20_000;
    let buffers = pool();
    let thread = || {
        let start = Instant::now();
        for _ in 0..PAIRS {
            drop(buffers.get(MIB));
        }
        start.elapsed().as_nanos() as f64 / f64::from(PAIRS)
    };
    for threads in [1, 2] {
        let name = format!("pair/nanoseconds/{threads}");
        if !report.wants(&name) {
            continue;
        }
        let times = (0..7).map(|_| {
            std::thread::scope(|scope| {
                let all: Vec<_> = (0..threads).map(|_| scope.spawn(thread)).collect();
                let times = all.into_iter().map(|one| one.join().expect("no panic"));
                method::median(times)
            })
        });
        let time = method::median(times);
        report.info(name, time.round(), Some(time));
    }
}
