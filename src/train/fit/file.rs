//! What was fitted, in a file.

use super::{Fit, Fittable, Fitted};
use crate::Manager;
use crate::ffi::DeviceKind;
use crate::train::fit_plan::Plan;
use crate::train::{Error, FileProblem, Key, Knob, file};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What the file is written as now.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u32,
    key: Key,
    asked: Asked,
    fitted: Fitted,
}

/// What it was the answer to.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    budget: u64,
    rows: usize,
    batch: Knob,
    batches: Option<Vec<usize>>,
    blocks: usize,
    recompute: Knob,
    margin: u64,
}

impl Fit {
    /// What a file says was fitted; runs and writes it if there is no such file, or if that was for other settings. `model`
    /// is the program's own name for all else that decides how much its work needs.
    ///
    /// # Errors
    ///
    /// [`Error::File`]: the file cannot be read or written; it is malformed or contradicts itself; or it holds for
    /// [another key](FileProblem::OtherKey), as after an update of MLX: remove it then. And as [`run`](Self::run). A choice
    /// that could not be written is lost.
    ///
    /// # Blocking
    ///
    /// As [`run`](Self::run).
    #[track_caller]
    pub fn run_or_read<T: Fittable>(
        &self,
        path: impl AsRef<Path>,
        model: impl Into<String>,
        trainer: &mut T,
    ) -> Result<Fitted, Error> {
        let path = path.as_ref();
        let manager = self.manager.as_ref().unwrap_or_else(|| Manager::shared());
        let key = Key::of(manager, model);
        let asked = self.asked(manager.device().kind);
        if let Some(text) = file::read(path)? {
            let known = parse(&text, &key).map_err(|problem| file::failed(path, problem))?;
            if known.asked == asked {
                return Ok(known.fitted);
            }
        }
        let fitted = self.run(trainer)?;
        let content = Content {
            format: FORMAT,
            key,
            asked,
            fitted,
        };
        file::write(path, &content)?;
        Ok(content.fitted)
    }

    fn asked(&self, kind: DeviceKind) -> Asked {
        Asked {
            budget: self.budget,
            rows: self.rows,
            batch: self.batch,
            batches: self.batches.clone(),
            blocks: self.block_count(),
            recompute: self.recompute,
            margin: self.budget - self.space(kind).limit,
        }
    }
}

fn parse(text: &[u8], wanted: &Key) -> Result<Content, FileProblem> {
    let content: Content = file::parse(text)?;
    file::check(content.format, FORMAT, &content.key, wanted)?;
    if !is_consistent(&content) {
        let text = "the choice contradicts itself";
        return Err(FileProblem::Malformed(text.to_owned()));
    }
    Ok(content)
}

/// Whether the numbers can all be true.
fn is_consistent(Content { asked, fitted, .. }: &Content) -> bool {
    let Plan { batch, first, .. } = fitted.plan;
    let is_plan = |plan: Plan| {
        let is_possible = plan.batch > 0 && plan.batch <= fitted.rows && plan.first <= asked.blocks;
        is_possible && plan == Plan::new(fitted.rows, plan.batch, plan.first)
    };
    let changed = fitted.changes.iter().flat_map(|it| [it.from, it.to]);
    let mut plans = fitted.considered.iter().map(|it| it.plan).chain(changed);
    let is_choice = |knob, value: usize, most: usize| match knob {
        Knob::Auto => true,
        Knob::Fixed(fixed) => fixed.min(most as u64) == value as u64,
    };

    is_plan(fitted.plan)
        && plans.all(is_plan)
        && (asked.budget, asked.rows, asked.margin) == (fitted.budget, fitted.rows, fitted.margin)
        && is_choice(asked.batch, batch, fitted.rows)
        && is_choice(asked.recompute, first, asked.blocks)
        && fitted.margin <= fitted.budget
        && fitted.peak <= fitted.budget - fitted.margin
        && fitted.peak <= fitted.highest_probe
        && fitted.above_start <= fitted.peak
        && fitted.rows_per_second.is_finite()
        && fitted.probes > 0
}
