//! Whether a model fits, and what to write.

use crate::machine::{Machine, line};
use indicatif::BinaryBytes;
use mlx_wired::ffi;
use mlx_wired::train::estimate::{Model, Plan, Verdict, Workload, plan};
use std::fmt;

pub(crate) struct Advice<'a> {
    model: &'a Model,
    plan: Plan,
    /// What the budget is called; `None` where nothing is known about the memory.
    budget: Option<&'static str>,
    wires: bool,
}

impl<'a> Advice<'a> {
    pub(crate) fn new(machine: &Machine, model: &'a Model) -> Self {
        let capacity = machine.capacity();
        let bytes = capacity.map_or(u64::MAX, |(bytes, _)| bytes);
        Self {
            model,
            plan: plan(bytes, &Workload::new(model.clone())),
            budget: capacity.map(|(_, name)| name),
            wires: machine.wires(),
        }
    }

    pub(crate) fn fits(&self) -> bool {
        matches!(self.plan.verdict, Verdict::Fits | Verdict::Tight)
    }

    fn verdict(&self) -> String {
        let Plan {
            verdict,
            budget,
            left,
            ref estimate,
            ..
        } = self.plan;
        let share = 100.0 * estimate.bytes as f64 / budget as f64;
        let left = BinaryBytes(left);
        let (Some(name), true) = (self.budget, estimate.is_known()) else {
            return match verdict {
                Verdict::Impossible => format!("impossible: {share:.0} % of the memory, at least"),
                _ => "unknown".to_owned(),
            };
        };
        match verdict {
            Verdict::Fits => format!("fits: {share:.0} % of {name}; {left} are left for work"),
            Verdict::Tight => format!("tight: {share:.0} % of {name}; {left} are left"),
            _ => format!(
                "impossible: {share:.0} % of {name}; use a smaller quantisation, or a machine with more memory"
            ),
        }
    }

    /// The program's first lines, with this model's size.
    fn code(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.plan.estimate.held();
        let (kind, why) = if self.wires {
            (
                "resident",
                "stays wired between requests; `.reservation()` lets it go",
            )
        } else {
            ("reservation", "counted; nothing is wired here")
        };
        writeln!(f, "\n    use mlx_wired::{{Policy, SumPolicy}};\n")?;
        if ffi::LINKED {
            writeln!(
                f,
                "    mlx_rs::memory::active_memory()?;    // feature `mlx-rs`: its error handler is in place from here on"
            )?;
        }
        writeln!(f, "    let policy = SumPolicy::new();")?;
        writeln!(
            f,
            "    let weights = policy.ticket({bytes}).{kind}().label(\"weights\");"
        )?;
        writeln!(f, "    let _weights = weights.acquire()?;   // {why}")?;
        writeln!(
            f,
            "    let step = policy.ticket(step_bytes).label(\"step\");   // measure one: MLX's peak less what is active"
        )?;
        writeln!(
            f,
            "    let _guard = step.acquire()?;        // in each worker, around the work"
        )
    }
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model;
        let tensors: usize = model.weights.iter().map(|part| part.tensors).sum();
        let files: usize = model.weights.iter().map(|part| part.files).sum();
        line(f, "tensors", format!("{tensors} in {files} files"))?;
        for (name, of) in &model.types {
            let text = format!("{} in {} tensors", BinaryBytes(of.bytes), of.tensors);
            line(f, &format!("  {name}"), text)?;
        }
        if let Some((name, bytes)) = &model.largest {
            let text = format!("{}: {name}", BinaryBytes(*bytes));
            line(f, "largest tensor", text)?;
        }
        for item in &self.plan.estimate.items {
            line(f, &item.what, BinaryBytes(item.bytes))?;
        }
        for problem in &self.plan.estimate.problems {
            let text = format!("{}; {}", problem.text, problem.cure);
            line(f, &problem.severity.to_string(), text)?;
        }
        line(f, "verdict", self.verdict())?;
        if self.fits() {
            self.code(f)?;
        }
        Ok(())
    }
}
