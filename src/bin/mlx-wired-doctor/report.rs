//! Everything that is said.

use super::answer::Answer;
use super::finding::{self, Finding, check};
use super::machine::Machine;
use super::options::Options;

/// Everything that is said.
pub(super) struct Report {
    /// `None` if it could not be looked at; what is wrong is among the findings.
    pub(super) machine: Option<Machine>,
    /// Where a folder was named.
    pub(super) answer: Option<Answer>,
    /// The worst first.
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn of(options: &Options, look: impl FnOnce() -> Machine) -> Self {
        let mut findings = Vec::new();
        let machine = match check("machine-check-failed", "the machine", look) {
            Ok(machine) => {
                findings.extend(machine.findings());
                Some(machine)
            }
            Err(finding) => {
                findings.push(finding);
                None
            }
        };
        let answer = options.folder.as_ref().map(|folder| {
            let (answer, of_folder) = Answer::of(folder, options, machine.as_ref());
            findings.extend(of_folder);
            answer
        });
        finding::sort(&mut findings);
        Self {
            machine,
            answer,
            findings,
        }
    }

    /// Of the verdict alone, whatever else is wrong.
    pub(super) fn code(&self) -> u8 {
        match &self.answer {
            Some(answer) if !answer.is_good() => 1,
            _ => 0,
        }
    }
}
