//! The cache of keys and values.

use super::item::{Certainty, Item};
use super::problem::Problem;
use super::shape::{Layer, Shape, Width};
use super::thousands::thousands;
use super::workload::Quantised;

/// In how many tokens mlx-lm's cache grows.
const STEP: u64 = 256;

const SOURCE: &str =
    "mlx-lm 0.32, models/cache.py: KVCache, RotatingKVCache, QuantizedKVCache, ArraysCache";

/// How many tokens and sequences, and how they are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens {
    pub(super) context: u64,
    pub(super) batch: u64,
    /// How many tokens of a prompt are read at once.
    pub(super) chunk: u64,
    pub(super) quantised: Option<Quantised>,
}

impl Tokens {
    /// What a layer's cache has room for.
    fn room(&self) -> u64 {
        self.context.div_ceil(STEP).saturating_mul(STEP)
    }

    /// The most tokens that a layer with a window holds while a prompt is read: the window, less one, and a chunk.
    pub(super) fn in_window(&self, window: u64) -> u64 {
        self.context
            .min(window.saturating_sub(1).saturating_add(self.chunk))
    }
}

/// The cache's items.
pub(super) fn items(shape: &Shape, tokens: &Tokens) -> Vec<Item> {
    let (mut full, mut window, mut state) = (Sum::default(), Sum::default(), Sum::default());
    let mut reading = 0_u64;
    let of_state = |numbers: u64, singles: u64| {
        let numbers = numbers.saturating_mul(shape.number);
        numbers.saturating_add(singles.saturating_mul(4))
    };
    for layer in &shape.layers {
        match *layer {
            Layer::Full(width) => {
                full.add(token(width, shape.number, tokens.quantised), tokens.room())
            }
            Layer::Window {
                width,
                window: last,
            } => {
                // mlx-lm does not quantise these.
                let each = width.numbers().saturating_mul(shape.number);
                let held = tokens.room().min(last);
                window.add(each, held);
                let more = tokens.in_window(last).saturating_sub(held);
                reading = reading.saturating_add(each.saturating_mul(more));
            }
            Layer::State { numbers, singles } => state.add(of_state(numbers, singles), 1),
            Layer::Both {
                width,
                numbers,
                singles,
            } => {
                full.add(token(width, shape.number, tokens.quantised), tokens.room());
                state.add(of_state(numbers, singles), 1);
            }
            Layer::Nothing => {}
        }
    }
    let batch = tokens.batch;
    let (rows, room) = (thousands(batch), thousands(tokens.room()));
    let item = |id, what: &str, sum: &Sum, formula, certainty| Item {
        id,
        what: what.to_owned(),
        bytes: sum.bytes.saturating_mul(batch),
        formula,
        source: SOURCE,
        certainty,
        is_held: false,
    };
    let mut items = Vec::new();
    if full.layers > 0 {
        let formula = format!(
            "{rows} x {} layers x {room} tokens x {} a token{}",
            full.layers,
            full.each(),
            tokens
                .quantised
                .map(|it| format!(", in {} bits", it.bits))
                .unwrap_or_default(),
        );
        items.push(item(
            "kv-cache",
            "keys and values",
            &full,
            formula,
            Certainty::Exact,
        ));
    }
    if window.layers > 0 {
        let formula = format!(
            "{rows} x {} layers that keep a window of the last tokens, {} a token",
            window.layers,
            window.each()
        );
        items.push(item(
            "kv-windows",
            "keys and values, windows",
            &window,
            formula,
            Certainty::Exact,
        ));
    }
    if reading > 0 {
        let formula = format!(
            "{rows} x the chunk of {} tokens beside each window",
            thousands(tokens.chunk)
        );
        let sum = Sum {
            bytes: reading,
            ..Sum::default()
        };
        items.push(item(
            "kv-chunk",
            "windows while a prompt is read",
            &sum,
            formula,
            Certainty::Exact,
        ));
    }
    if state.layers > 0 {
        let formula = format!(
            "{rows} x {} layers, {} each, whatever the context",
            state.layers,
            state.each()
        );
        items.push(item(
            "state",
            "states that do not grow",
            &state,
            formula,
            Certainty::Estimated,
        ));
    }
    items
}

/// Layers of one kind.
#[derive(Default)]
struct Sum {
    layers: u64,
    bytes: u64,
    least: Option<u64>,
    most: u64,
}

impl Sum {
    fn add(&mut self, each: u64, times: u64) {
        self.layers += 1;
        self.bytes = self.bytes.saturating_add(each.saturating_mul(times));
        self.least = Some(self.least.map_or(each, |least| least.min(each)));
        self.most = self.most.max(each);
    }

    fn each(&self) -> String {
        let least = self.least.unwrap_or(0);
        let most = thousands(self.most);
        if least == self.most {
            format!("{most} B")
        } else {
            format!("{} to {most} B", thousands(least))
        }
    }
}

/// Bytes of a token's keys and values in one layer.
fn token(width: Width, number: u64, quantised: Option<Quantised>) -> u64 {
    let Some(quantised) = quantised else {
        return width.numbers().saturating_mul(number);
    };
    let side = |numbers: u64| {
        let packed = numbers.saturating_mul(quantised.bits) / 8;
        // A scale and a bias for each group.
        let groups = numbers / quantised.group.max(1);
        packed.saturating_add(groups.saturating_mul(2 * number))
    };
    side(width.sides[0]).saturating_add(side(width.sides[1]))
}

/// What mlx-lm would refuse about a quantised cache.
pub(super) fn problems(shape: &Shape, quantised: Quantised) -> Vec<Problem> {
    let Quantised { bits, group } = quantised;
    let mut problems = Vec::new();
    if !matches!(bits, 2 | 4 | 8) || !matches!(group, 32 | 64 | 128) {
        problems.push(Problem::error(
            "kv-bits",
            format!("no cache is kept in {bits} bits and groups of {group}"),
            "take 4 or 8 bits, and groups of 32, 64 or 128",
        ));
        return problems;
    }
    let widths = shape.layers.iter().filter_map(|layer| match layer {
        Layer::Full(width) | Layer::Both { width, .. } => Some(width),
        _ => None,
    });
    let rows = widths.flat_map(|width| width.sides.map(|side| side / width.rows.max(1)));
    if let Some(row) = rows.into_iter().find(|row| row % group != 0) {
        problems.push(Problem::error(
            "kv-group",
            format!("rows of {row} numbers cannot be quantised in groups of {group}"),
            "take a smaller group, or leave the cache as it is",
        ));
    }
    if shape
        .layers
        .iter()
        .any(|layer| matches!(layer, Layer::Window { .. }))
    {
        problems.push(Problem::warning(
            "kv-windows-not-quantised",
            "mlx-lm cannot quantise layers with windows, which this model has".to_owned(),
            "leave the cache as it is: the windows bound it already",
        ));
    }
    problems
}
