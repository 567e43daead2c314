//! Where it goes: a terminal, a pipe that may be closed, a disk that may be full.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

/// What stands before a line that is good, doubtful, bad, or worth knowing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) good: &'static str,
    pub(crate) doubtful: &'static str,
    pub(crate) bad: &'static str,
    pub(crate) note: &'static str,
}

const WORDS: Marks = Marks {
    good: "ok",
    doubtful: "warn",
    bad: "FAIL",
    note: "note",
};

const SIGNS: Marks = Marks {
    good: "✓",
    doubtful: "!",
    bad: "✗",
    note: "•",
};

/// Signs where a person looks at a terminal that shows them; else words, which can be searched for.
pub(crate) fn marks() -> Marks {
    // The first that is set decides, as in the C library.
    let variables = ["LC_ALL", "LC_CTYPE", "LANG"];
    let mut set = variables.iter().filter_map(std::env::var_os);
    let locale = set.find(|value| !value.is_empty());
    match locale {
        Some(locale) if io::stdout().is_terminal() && is_utf8(&locale.to_string_lossy()) => SIGNS,
        _ => WORDS,
    }
}

/// `de_DE.UTF-8`, `C.utf8`, `UTF-8`.
fn is_utf8(locale: &str) -> bool {
    let encoding = locale.rsplit('.').next().unwrap_or(locale);
    let encoding = encoding.split('@').next().unwrap_or(encoding);
    matches!(encoding.to_ascii_lowercase().as_str(), "utf-8" | "utf8")
}

/// Writes all of it to stdout, and ends with this code. A closed pipe wants no more, and the code stands.
pub(crate) fn write(text: &str, code: u8) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("the answer cannot be written: {}", error.kind()));
            // A script must not take what was written for all.
            ExitCode::from(code.max(1))
        }
        _ => ExitCode::from(code),
    }
}

/// A line on stderr, if it can be written.
pub(crate) fn complain(text: &str) {
    let _unread = writeln!(io::stderr(), "mlx-wired-doctor: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_say_whether_signs_are_shown() {
        for good in ["de_DE.UTF-8", "C.utf8", "UTF-8", "sr_RS.utf8@latin"] {
            assert!(is_utf8(good), "{good}");
        }
        for bad in ["C", "POSIX", "de_DE", "ja_JP.eucJP", "utf-8.latin1", ""] {
            assert!(!is_utf8(bad), "{bad}");
        }
    }
}
