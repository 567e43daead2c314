//! How much memory one fold needs, by MLX's own count, and the tickets that follow from it.

use crate::Failure;
use crate::data::{Fold, Wines};
use crate::network::{self, NETWORKS, Start};
use crate::options::{BadArgument, Options};
use crate::progress;
use mlx_wired::ffi;

/// The second epoch is the first with an optimizer's state; from then on they are all alike.
const EPOCHS: usize = 3;

/// A ticket is its fold's peak and an eighth, in whole MiB. How far MLX allocates ahead of what it has
/// computed depends on the machine's load: on two busy cores one fold's peak varied by 0.2 %. The rest
/// is caution, and makes the sizes the same in every run.
const MARGIN: u64 = 8;
const MIB: u64 = 1 << 20;

/// How many folds of the largest network the default budget holds.
const FOLDS_IN_BUDGET: u64 = 2;

/// The sweep, with its sizes in bytes.
pub(crate) struct Measured {
    /// One for each network, as the sizes below.
    pub(crate) starts: Vec<Start>,
    /// A fold's peak, beyond what was there before it.
    pub(crate) peaks: Vec<u64>,
    pub(crate) tickets: Vec<u64>,
    /// What data and initial weights take.
    pub(crate) reserved: u64,
    pub(crate) budget: u64,
}

/// Trains one fold of each network for a few epochs, alone.
pub(crate) fn measure(
    wines: &Wines,
    folds: &[Fold],
    options: &Options,
) -> Result<Measured, Failure> {
    let before = ffi::memory_counters()?.active;
    let starts = network::starts(wines);
    let reserved = ffi::memory_counters()?.active - before;

    // The last fold trains with the most rows.
    let fold = folds.last().ok_or("there are no folds")?;
    let line = progress::line();
    let mut peaks = Vec::new();
    for (network, start) in NETWORKS.iter().zip(&starts) {
        line.set_message(format!("one fold of {} alone", network.name));
        line.tick();
        let before = ffi::memory_counters()?.active;
        ffi::reset_peak_memory()?;
        network::train(start, fold, EPOCHS, || {})?;
        peaks.push(ffi::memory_counters()?.peak() - before);
    }
    line.finish_and_clear();
    let tickets: Vec<u64> = peaks
        .iter()
        .map(|peak| (peak + peak / MARGIN).next_multiple_of(MIB))
        .collect();

    let largest = tickets.iter().max().copied().unwrap_or(0);
    let least = reserved + largest;
    let budget = options
        .budget
        .unwrap_or(reserved + FOLDS_IN_BUDGET * largest);
    // The reservation's ticket would refuse it, too, without the argument's name.
    if budget < least {
        let problem = format!("--budget {budget}: data and one largest fold need {least} bytes");
        return Err(BadArgument(problem).into());
    }
    Ok(Measured {
        starts,
        peaks,
        tickets,
        reserved,
        budget,
    })
}
