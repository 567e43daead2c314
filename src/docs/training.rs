#![doc = include_str!("../../docs/TRAINING.md")]
