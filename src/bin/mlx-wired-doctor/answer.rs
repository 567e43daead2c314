//! The verdict on a folder.

use super::finding::{Finding, check};
use super::machine::{Budget, Machine};
use super::options::Options;
use super::{reading, reasons, tickets};
use mlx_wired::ffi::DeviceKind;
use mlx_wired::print::{Bytes, Name};
use mlx_wired::train::Error;
use mlx_wired::train::estimate::{Model, Plan, Verdict, Workload, plan};
use std::io::ErrorKind;
use std::path::Path;

/// What is said of a folder, but for the findings.
pub(crate) struct Answer {
    /// Its path, escaped and cut.
    pub(crate) folder: String,
    pub(crate) verdict: Verdict,
    /// What that is of; `None` if nothing is known of the memory.
    pub(crate) budget: Option<Budget>,
    /// `None` where the folder could not be read at all.
    pub(crate) plan: Option<Plan>,
    pub(crate) model: Option<Model>,
    /// The lines to write.
    pub(crate) tickets: Vec<String>,
}

impl Answer {
    pub(crate) fn of(
        path: &Path,
        options: &Options,
        machine: Option<&Machine>,
    ) -> (Self, Vec<Finding>) {
        let mut answer = Self {
            folder: Name::new(&path.to_string_lossy()).to_string(),
            verdict: Verdict::Unknown,
            budget: machine.and_then(|machine| machine.budget),
            plan: None,
            model: None,
            tickets: Vec::new(),
        };
        let findings = answer.fill(path, options, machine);
        (answer, findings)
    }

    fn fill(&mut self, path: &Path, options: &Options, machine: Option<&Machine>) -> Vec<Finding> {
        let model = match check("folder-check-failed", "the folder", || reading::read(path)) {
            Ok(Ok(model)) => model,
            Ok(Err(error)) => return vec![unread(&self.folder, &error)],
            Err(finding) => return vec![finding],
        };
        self.model = Some(model.clone());
        let planned = check("plan-check-failed", "what the model needs", || {
            let kind = machine.map_or(DeviceKind::Cpu, |machine| machine.device.kind);
            let workload = options.apply(Workload::new(model).on(kind));
            // Without a budget nothing is too large, and nothing is good.
            let budget = self.budget.map_or(u64::MAX, |budget| budget.bytes);
            let plan = plan(budget, &workload);
            let findings = reasons::of(&plan, &workload, options, machine);
            (plan, findings)
        });
        let (plan, findings) = match planned {
            Ok(planned) => planned,
            Err(finding) => return vec![finding],
        };
        if self.budget.is_some() {
            self.verdict = plan.verdict;
        }
        let wires = machine.is_some_and(Machine::wires);
        if self.is_good() {
            self.tickets = tickets::known(&plan, options, wires);
        } else if reasons::lacks_a_measured_step(&plan, &findings) {
            self.tickets = tickets::to_measure(&plan);
        }
        self.plan = Some(plan);
        findings
    }

    /// Whether a program may begin.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.verdict, Verdict::Fits | Verdict::Tight)
    }

    /// The verdict in a line, with what it stands on.
    pub(crate) fn summary(&self) -> String {
        let verdict = self.verdict;
        let Some(plan) = &self.plan else {
            return format!("{verdict}: {} was not read", self.folder);
        };
        let (needed, least) = (Bytes(plan.estimate.bytes), plan.estimate.least());
        if plan.estimate.bytes == 0 {
            return format!("{verdict}: nothing in {} could be counted", self.folder);
        }
        let Some(budget) = self.budget else {
            let least = Bytes(least);
            return format!(
                "{verdict}: at least {least}, and how much memory there is is not known"
            );
        };
        let (bytes, of) = (Bytes(budget.bytes), budget.of);
        match verdict {
            Verdict::Fits | Verdict::Tight => {
                let left = Bytes(plan.left);
                let mut text = format!("{verdict}: {needed} of {bytes}, {of}; {left} are left");
                let mut problems = plan.estimate.problems.iter();
                if problems.any(|problem| problem.id == "weights-alone") {
                    text += " (the weights alone are counted)";
                }
                let mut changes = plan.change.iter();
                if let Some(change) = changes.find(|change| change.knob == "context") {
                    text += &format!(" (with a context of {} alone)", change.to);
                }
                text
            }
            Verdict::Impossible => {
                let over = Bytes(least.saturating_sub(budget.bytes));
                let least = Bytes(least);
                format!("{verdict}: at least {least}, {over} more than {bytes}, {of}")
            }
            _ => {
                let least = Bytes(least);
                format!("{verdict}: at least {least} of {bytes}, {of}, and not all is known")
            }
        }
    }
}

/// Why nothing of a folder is known.
fn unread(folder: &str, error: &Error) -> Finding {
    let kind = match error {
        Error::Model { source, .. } => source.kind(),
        _ => ErrorKind::Other,
    };
    match kind {
        ErrorKind::NotFound => Finding::error(
            "no-folder",
            format!("nothing is at {folder}"),
            "name a folder with a model's *.safetensors",
        ),
        kind => Finding::error(
            "unread-folder",
            format!("{folder} cannot be looked at ({kind})"),
            "give its reader access, or name a folder that can be read",
        ),
    }
}
