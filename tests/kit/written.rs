//! What is written.

use std::io;

/// All that a call writes, which is text.
#[track_caller]
pub(crate) fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes).expect("a vector takes it");
    String::from_utf8(bytes).expect("it is UTF-8")
}
