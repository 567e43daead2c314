//! What is wrong, or worth knowing, and what to do about it.

use crate::print::Name;
use serde::Serialize;
use std::fmt;

/// How much a [`Problem`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing: something beside the model was left out for a reason.
    Note,
    /// The figures are right for what was counted, and that may not be what a program loads.
    Warning,
    /// Something is missing, unread or not understood: no verdict is better than [`Unknown`](super::Verdict::Unknown).
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something that was found while a model was read or its needs were counted.
///
/// Names from files are escaped and cut in `text` and `cure`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// What kind it is: stays the same between versions, unlike the text.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Which file or setting, and what is the matter.
    pub text: String,
    /// What to do.
    pub cure: String,
}

impl Problem {
    pub(super) fn error(id: &'static str, text: String, cure: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, text, cure)
    }

    pub(super) fn warning(id: &'static str, text: String, cure: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, text, cure)
    }

    pub(super) fn note(id: &'static str, text: String, cure: impl Into<String>) -> Self {
        Self::new(Severity::Note, id, text, cure)
    }

    /// The same where it does not concern what was counted.
    pub(super) fn at_most(self, severity: Severity) -> Self {
        Self {
            severity: self.severity.min(severity),
            ..self
        }
    }

    /// Names the folder of a part: files of several parts have the same names.
    pub(super) fn append_folder(&mut self, part: &str) {
        if !part.is_empty() {
            self.text += &format!(" (in {})", Name::new(part));
        }
    }

    fn new(severity: Severity, id: &'static str, text: String, cure: impl Into<String>) -> Self {
        let cure = cure.into();
        Self {
            id,
            severity,
            text,
            cure,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.severity, self.text, self.cure)
    }
}
