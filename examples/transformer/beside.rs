//! What is done with the weights beside the training: evaluation and sampling, each on a thread of its own and under its
//! own ticket.
//!
//! A lazy array cannot cross threads, an evaluated one can be moved. So the training hands over handles of weights that it
//! has evaluated, and with them the guard that they live under: the training goes on with others meanwhile.

use crate::Failure;
use crate::data::Text;
use crate::model::{self, Size};
use mlx_rs::Array;
use mlx_rs::ops::indexing::IndexOp;
use mlx_rs::random::{categorical, key, split};
use mlx_wired::{OwnedGuard, Ticket};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Rows that are evaluated at once.
const ROWS: usize = 8;
const TEMPERATURE: f32 = 0.7;
const PROMPT: &str = "The Congress shall have Power ";
const SEED: u64 = 1789;

/// Weights as they were after an update. Dropped in this order: they are gone when the guard is released.
struct Snapshot {
    weights: Vec<Array>,
    update: usize,
    _guard: OwnedGuard,
}

/// A thread that does the same with every snapshot, and what came of each.
pub(crate) struct Beside<'scope, T> {
    ticket: Ticket,
    snapshots: SyncSender<Snapshot>,
    thread: ScopedJoinHandle<'scope, Result<Vec<(usize, T)>, Failure>>,
}

impl<'scope, T: Send + 'scope> Beside<'scope, T> {
    pub(crate) fn start(
        scope: &'scope Scope<'scope, '_>,
        ticket: Ticket,
        mut work: impl FnMut(&[Array]) -> Result<T, Failure> + Send + 'scope,
    ) -> Self {
        let (snapshots, received): (_, Receiver<Snapshot>) = sync_channel(1);
        let thread = scope.spawn(move || {
            let done = received.into_iter().map(|snapshot| {
                let result = work(&snapshot.weights)?;
                Ok((snapshot.update, result))
            });
            done.collect()
        });
        Self {
            ticket,
            snapshots,
            thread,
        }
    }

    /// Waits until there is room, and hands the weights over. The caller holds nothing that others wait for.
    pub(crate) fn look(&self, weights: &[Array], update: usize) -> Result<(), Failure> {
        let snapshot = Snapshot {
            _guard: self.ticket.acquire_owned()?,
            weights: weights.to_vec(),
            update,
        };
        // It fails if the thread has: `finish` says why.
        let _gone = self.snapshots.send(snapshot);
        Ok(())
    }

    /// What came of each snapshot. The thread has ended when this returns, as MLX wants it before `main` does.
    pub(crate) fn finish(self) -> Result<Vec<(usize, T)>, Failure> {
        drop(self.snapshots);
        let ended = self.thread.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The mean loss of a letter in the part of the text that nothing is trained with.
pub(crate) fn evaluate(size: Size, text: &Text, weights: &[Array]) -> Result<f64, Failure> {
    let (mut sum, mut count) = (0.0, 0);
    for rows in text.held_out(ROWS, size.context) {
        let logits = size.logits(weights, &rows.letters, None, &size.plainly())?;
        sum += model::loss(&logits, &rows.next)?.try_item_cast::<f64>()?;
        count += rows.count();
    }
    Ok(sum / count as f64)
}

/// Text that begins with a prompt and goes on for `letters` letters.
pub(crate) fn sample(
    size: Size,
    text: &Text,
    weights: &[Array],
    letters: usize,
) -> Result<String, Failure> {
    let mut numbers = text.numbers(PROMPT);
    let mut keys = key(SEED)?;
    for _ in 0..letters {
        // Always of one shape, which MLX's cache likes; what comes behind the last letter is not looked at.
        let from = numbers.len().saturating_sub(size.context);
        let mut row = numbers[from..].to_vec();
        let last = row.len() as i32 - 1;
        row.resize(size.context, 0);
        let row = Array::from_slice(&row, &[1, size.context as i32]);
        let logits = size.logits(weights, &row, None, &size.plainly())?;
        let (one, rest) = split(&keys, 2)?;
        keys = rest;
        let likely = logits
            .index((0, last))
            .divide(Array::from_f32(TEMPERATURE))?;
        let next = categorical(likely, -1, None, &one)?;
        numbers.push(next.try_item_cast::<i32>()?);
    }
    Ok(numbers
        .into_iter()
        .map(|number| text.letter(number as u32))
        .collect())
}
