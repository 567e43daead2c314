//! What tests have in place of a device and of time; public as parts of `ffi` and `clock`.

mod fake_clock;
mod recording;

pub use fake_clock::FakeClock;
pub use recording::{
    Call, Gate, MemoryCall, MemorySetting, Outcome, RecordingBackend, RecordingBuilder,
    Synchronization,
};
