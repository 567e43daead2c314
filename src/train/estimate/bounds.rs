//! How far settings go that were not given.

/// Tokens of a sequence where none were given, unless the configuration allows fewer.
pub const DEFAULT_CONTEXT: u64 = 8192;
/// Down to how many tokens [`plan()`](super::plan()) shortens a context that was not given.
pub const MIN_CONTEXT: u64 = 1024;
/// Down to how many tokens [`plan()`](super::plan()) makes the chunks smaller in which prompts are read.
pub const MIN_CHUNK: u64 = 256;
