//! What is wrong or worth knowing, of the machine and of a folder alike.

use mlx_wired::print::Name;
use mlx_wired::train::estimate::{Problem, Severity};
use serde::Serialize;
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Something that was found. Names from files are escaped and cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stays the same between versions, unlike the texts.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    pub(crate) text: String,
    /// What to do, or that there is nothing to do.
    pub(crate) cure: String,
}

impl Finding {
    pub(crate) fn error(
        id: &'static str,
        text: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, id, text, cure)
    }

    pub(crate) fn warning(
        id: &'static str,
        text: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, id, text, cure)
    }

    pub(crate) fn note(id: &'static str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Severity::Note, id, text, cure)
    }

    fn new(
        severity: Severity,
        id: &'static str,
        text: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            id,
            severity,
            text: text.into(),
            cure: cure.into(),
        }
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        Self::new(problem.severity, problem.id, problem.text, problem.cure)
    }
}

/// The worst first, and otherwise as they were found.
pub(crate) fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| Reverse(finding.severity));
}

/// Runs a check. One that panics is a finding itself, so that the others are told all the same.
pub(crate) fn check<T>(
    id: &'static str,
    what: &str,
    check: impl FnOnce() -> T,
) -> Result<T, Finding> {
    // What it was about to make is dropped, and nothing else is shared.
    catch_unwind(AssertUnwindSafe(check)).map_err(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it does not say why");
        let why = Name::cut(why, 200);
        Finding::error(
            id,
            format!("looking at {what} failed: {why}"),
            "none: this is a mistake of the doctor's, please report it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_panics_is_a_finding() {
        let failed = check("folder-check-failed", "the folder", || -> u32 {
            panic!("\u{1b}[2J{}", 7)
        });
        let finding = failed.expect_err("it panics");
        assert_eq!(finding.id, "folder-check-failed");
        assert!(finding.is_error());
        let text = "looking at the folder failed: \\u{1b}[2J7";
        assert_eq!(finding.text, text);
        assert_eq!(check("x", "y", || 3), Ok(3));
    }
}
