//! Whether a model fits, and what to write.

use crate::machine::{Machine, line};
use crate::model::Model;
use indicatif::BinaryBytes;
use mlx_wired::ffi;
use std::fmt;

pub(crate) struct Advice<'a> {
    model: &'a Model,
    capacity: Option<(u64, &'static str)>,
    wires: bool,
}

impl<'a> Advice<'a> {
    pub(crate) fn new(machine: &Machine, model: &'a Model) -> Self {
        Self {
            model,
            capacity: machine.capacity(),
            wires: machine.wires(),
        }
    }

    pub(crate) fn fits(&self) -> bool {
        let room = self
            .capacity
            .is_none_or(|(bytes, _)| self.model.bytes <= bytes);
        room && self.model.missing.is_empty()
    }

    fn verdict(&self) -> String {
        let Some((capacity, name)) = self.capacity else {
            return "nothing is known about the memory".to_owned();
        };
        let share = 100.0 * self.model.bytes as f64 / capacity as f64;
        let left = BinaryBytes(capacity.saturating_sub(self.model.bytes));
        match share {
            0.0..=90.0 => format!("fits: {share:.0} % of {name}; {left} are left for work"),
            90.0..=100.0 => format!(
                "fits barely: {share:.0} % of {name}; {left} are left, which is little for a cache of keys and values"
            ),
            _ => format!(
                "does not fit: {share:.0} % of {name}; use a smaller quantisation, or a machine with more memory"
            ),
        }
    }

    /// The program's first lines, with this model's size.
    fn code(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.model.bytes;
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
        let files = format!("{} in {} files", model.tensors, model.files);
        line(f, "tensors", files)?;
        line(f, "weights", BinaryBytes(model.bytes))?;
        for (name, (tensors, bytes)) in &model.types {
            let text = format!("{} in {tensors} tensors", BinaryBytes(*bytes));
            line(f, &format!("  {name}"), text)?;
        }
        if let Some((name, bytes)) = &model.largest {
            line(
                f,
                "largest tensor",
                format!("{}: {name}", BinaryBytes(*bytes)),
            )?;
        }
        for shard in &model.missing {
            line(f, "MISSING", format!("{shard}, which the index names"))?;
        }
        line(f, "verdict", self.verdict())?;
        if self.fits() {
            self.code(f)?;
        }
        Ok(())
    }
}
