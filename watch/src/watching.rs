//! What was told so far.

use crate::client;
use crate::line::{self, Line};
use std::path::Path;

/// How many looks are kept.
const KEPT: usize = 512;

#[derive(Debug, Default)]
pub struct Watching {
    /// The last line that was told.
    pub line: Option<Line>,
    /// Why there is no newer one.
    pub failure: Option<String>,
    /// What was used, the latest last.
    pub used: Vec<u64>,
}

impl Watching {
    pub fn look(&mut self, socket: &Path) {
        self.note(client::ask(socket));
    }

    pub fn note(&mut self, told: Result<String, String>) {
        match told.and_then(|text| line::parse(&text)) {
            Ok(line) => {
                self.used.extend(line.memory.as_ref().map(|it| it.used));
                let more = self.used.len().saturating_sub(KEPT);
                self.used.drain(..more);
                self.line = Some(line);
                self.failure = None;
            }
            Err(failure) => self.failure = Some(failure),
        }
    }
}
