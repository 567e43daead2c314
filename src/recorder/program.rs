//! What the recorded program is called.

use std::env;
use std::path::Path;
use std::sync::Arc;

/// The name that the program was started by, without folders and `.exe`.
pub(super) fn of_this_process() -> Arc<str> {
    // Not `current_exe`: once a build has replaced the file, Linux appends " (deleted)" to it.
    let started_as = env::args_os().next().unwrap_or_default();
    let name = Path::new(&started_as).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    match name.strip_suffix(env::consts::EXE_SUFFIX).unwrap_or(&name) {
        "" => "unnamed program".into(),
        name => name.into(),
    }
}
