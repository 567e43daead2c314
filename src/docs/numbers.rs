#![doc = include_str!("../../docs/NUMBERS.md")]
