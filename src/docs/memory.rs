#![doc = include_str!("../../docs/MEMORY.md")]
