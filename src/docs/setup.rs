#![doc = include_str!("../../docs/SETUP.md")]
