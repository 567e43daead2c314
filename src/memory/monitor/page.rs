//! What a line says of the program.

use std::time::Instant;

/// What a line says of the program.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) program: String,
    pub(super) started: Instant,
}

impl Page {
    pub(super) fn new(program: Option<String>, started: Instant) -> Self {
        let program = program.unwrap_or_else(|| {
            let file = std::env::current_exe().ok();
            let file = file.as_ref().and_then(|path| path.file_name());
            file.map_or_else(
                || "program".to_owned(),
                |it| it.to_string_lossy().into_owned(),
            )
        });
        Self { program, started }
    }
}
