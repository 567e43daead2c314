//! How much memory a fold of each network needs, and the tickets and the budget that follow.

use crate::Failure;
use crate::data::{Fold, Wines};
use crate::network::{self, NETWORKS, Start};
use crate::options::{BadArgument, Options};
use crate::progress;
use mlx_wired::ffi::{self, DeviceKind};
use mlx_wired::train::{Measured, Measuring};

/// The second epoch is the first with an optimizer's state; from then on they are all alike on the CPU.
const EPOCHS: usize = 3;
/// On a card MLX runs ahead of what it has computed, at times further than at others.
const EPOCHS_ON_A_CARD: usize = 20;

/// How many folds of the largest network the default budget holds.
const FOLDS_IN_BUDGET: u64 = 2;

/// The sweep, with its sizes in bytes.
pub(crate) struct Sizes {
    /// One for each network, as what follows.
    pub(crate) starts: Vec<Start>,
    /// A fold alone.
    pub(crate) folds: Vec<Measured>,
    /// What data and initial weights take.
    pub(crate) reserved: u64,
    pub(crate) budget: u64,
}

impl Sizes {
    /// Trains folds of each network for a few epochs, alone.
    pub(crate) fn measure(
        wines: &Wines,
        folds: &[Fold],
        options: &Options,
    ) -> Result<Self, Failure> {
        let before = ffi::memory_counters()?.active;
        let starts = network::starts(wines);
        let reserved = ffi::memory_counters()?.active - before;

        // The last fold trains with the most rows.
        let fold = folds.last().ok_or("there are no folds")?;
        let epochs = match ffi::device().kind {
            DeviceKind::Cpu => EPOCHS,
            _ => EPOCHS_ON_A_CARD,
        };
        let line = progress::line();
        let measure = |(network, start): (&network::Network, &Start)| {
            line.set_message(format!("one fold of {} alone", network.name));
            line.tick();
            // Each run begins from nothing: its first epochs are part of it.
            let measuring = Measuring::new(network.name).warm_up(0);
            measuring.run(|| network::train(start, fold, epochs, end_epoch))
        };
        let folds: Result<Vec<Measured>, _> = NETWORKS.iter().zip(&starts).map(measure).collect();
        line.finish_and_clear();
        let folds = folds?;

        let largest = folds.iter().map(Measured::ticket_bytes).max();
        let largest = largest.unwrap_or(0);
        let least = reserved + largest;
        let usual = reserved + FOLDS_IN_BUDGET * largest;
        let budget = options.budget.unwrap_or(usual);
        // The reservation's ticket would refuse it, too, without the argument's name.
        if budget < least {
            let problem =
                format!("--budget {budget}: data and one largest fold need {least} bytes");
            return Err(BadArgument(problem).into());
        }
        Ok(Self {
            starts,
            folds,
            reserved,
            budget,
        })
    }
}

/// On a card an epoch's memory is free when the work on it has ended, which is later than its results are there. The next
/// epoch would come on top.
pub(crate) fn end_epoch() -> Result<(), Failure> {
    Ok(ffi::synchronize()?)
}
