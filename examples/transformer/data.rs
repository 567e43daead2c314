//! The text, its letters as numbers, and rows of them.

use mlx_rs::Array;
use std::collections::BTreeSet;

/// The Declaration of Independence and the Constitution of the United States, in the public domain: see README.md.
const TEXT: &str = include_str!("charters.txt");

/// The part of the text that nothing is trained with.
const HELD_OUT: f64 = 0.1;

/// A text and its alphabet.
pub(crate) struct Text {
    alphabet: Vec<char>,
    train: Vec<i32>,
    held_out: Vec<i32>,
}

/// Rows of letters, and for each letter the one that follows. Both have the shape `[rows, context]`.
pub(crate) struct Rows {
    pub(crate) letters: Array,
    pub(crate) next: Array,
}

impl Text {
    pub(crate) fn load() -> Self {
        let alphabet: Vec<char> = TEXT.chars().collect::<BTreeSet<_>>().into_iter().collect();
        let mut text = Self {
            alphabet,
            train: Vec::new(),
            held_out: Vec::new(),
        };
        text.train = text.numbers(TEXT);
        let trained = text.train.len() as f64 * (1.0 - HELD_OUT);
        text.held_out = text.train.split_off(trained as usize);
        text
    }

    /// How many different letters it has.
    pub(crate) fn letters(&self) -> usize {
        self.alphabet.len()
    }

    /// As numbers; what is not in the alphabet is left out.
    pub(crate) fn numbers(&self, text: &str) -> Vec<i32> {
        let number = |letter: char| self.alphabet.binary_search(&letter).ok();
        text.chars()
            .filter_map(number)
            .map(|number| number as i32)
            .collect()
    }

    pub(crate) fn letter(&self, number: u32) -> char {
        self.alphabet.get(number as usize).copied().unwrap_or('?')
    }

    /// Rows from anywhere in the text.
    pub(crate) fn sample(&self, random: &mut fastrand::Rng, rows: usize, context: usize) -> Rows {
        let starts = (0..rows).map(|_| random.usize(..self.train.len() - context));
        Rows::new(&self.train, starts.collect(), context)
    }

    /// The part that nothing is trained with, `rows` rows at once.
    pub(crate) fn held_out(&self, rows: usize, context: usize) -> impl Iterator<Item = Rows> {
        let starts = (0..self.held_out.len() - context).step_by(context);
        let starts: Vec<usize> = starts.collect();
        let batches: Vec<Vec<usize>> = starts.chunks(rows).map(<[usize]>::to_vec).collect();
        batches
            .into_iter()
            .map(move |starts| Rows::new(&self.held_out, starts, context))
    }
}

impl Rows {
    fn new(text: &[i32], starts: Vec<usize>, context: usize) -> Self {
        let shape = [starts.len() as i32, context as i32];
        let rows = |shift: usize| {
            let row = |start: &usize| &text[start + shift..start + shift + context];
            let letters: Vec<i32> = starts.iter().flat_map(row).copied().collect();
            Array::from_slice(&letters, &shape)
        };
        Self {
            letters: rows(0),
            next: rows(1),
        }
    }

    /// How many letters are to be told.
    pub(crate) fn count(&self) -> usize {
        self.next.size()
    }
}
