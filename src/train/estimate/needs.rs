//! What a workload needs at given settings.

use super::Knob;
use super::bounds::DEFAULT_CONTEXT;
use super::item::{Certainty, Estimate, Item};
use super::kv::{self, Tokens};
use super::prefill;
use super::problem::Problem;
use super::thousands::thousands;
use super::training::Parameters;
use super::workload::Workload;
use std::cmp::Reverse;

/// In how large chunks mlx-lm reads prompts.
pub(super) const CHUNK: u64 = 2048;

/// The settings that a plan may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) context: u64,
    pub(super) batch: u64,
    pub(super) chunk: u64,
}

/// What does not depend on the settings, counted once.
pub(super) struct Needs<'a> {
    workload: &'a Workload,
    parameters: Option<Parameters>,
    weights: Vec<Item>,
    problems: Vec<Problem>,
}

impl<'a> Needs<'a> {
    pub(super) fn of(workload: &'a Workload) -> Self {
        let training = workload.training.as_ref();
        let mut needs = Self {
            parameters: training.map(|training| Parameters::of(&workload.model, training)),
            weights: weights(workload),
            problems: workload.model.problems.clone(),
            workload,
        };
        match &needs.parameters {
            Some(parameters) => {
                needs.problems.extend(parameters.problems.iter().cloned());
                needs.report_unread_config();
            }
            None => needs.report_cache_problems(),
        }
        needs
            .problems
            .sort_by_key(|problem| Reverse(problem.severity));
        needs
    }

    /// Training needs no configuration, but one that was not read is a sign of a download that was cut off.
    fn report_unread_config(&mut self) {
        let problems = self.workload.model.inner.config.problems.iter();
        let unread = problems.filter(|problem| problem.id != "unknown-family");
        self.problems.extend(unread.cloned());
    }

    /// Problems that concern generating text alone.
    fn report_cache_problems(&mut self) {
        let inner = &self.workload.model.inner;
        self.problems.extend(inner.config.problems.iter().cloned());
        if let (Some(shape), Some(quantised)) = (&inner.config.shape, self.workload.quantised) {
            self.problems.extend(kv::problems(shape, quantised));
        }
        if let (Some(longest), Knob::Fixed(context)) = (self.longest(), self.workload.context)
            && context > longest
        {
            self.problems.push(Problem::warning(
                "long-context",
                format!(
                    "{} tokens are more than the {} of config.json",
                    thousands(context),
                    thousands(longest)
                ),
                "the model was not made for contexts as long as that",
            ));
        }
        if !inner.has_config && !self.is_asked() {
            let what = if inner.is_pipeline {
                "what a step of the pipeline takes"
            } else {
                "a cache of keys and values"
            };
            self.problems.push(Problem::note(
                "weights-alone",
                format!("without a config.json the weights alone are counted, and not {what}"),
                "measure it, and add it",
            ));
        }
    }

    /// Whether what was asked needs a configuration.
    fn is_asked(&self) -> bool {
        let workload = self.workload;
        let fixed = |knob| knob != Knob::Auto;
        fixed(workload.context) || fixed(workload.batch) || workload.quantised.is_some()
    }

    /// The longest context that the configuration states.
    pub(super) fn longest(&self) -> Option<u64> {
        self.workload.model.inner.config.shape.as_ref()?.longest
    }

    /// Whether context and batch matter.
    pub(super) fn has_cache(&self) -> bool {
        self.parameters.is_none() && self.workload.model.inner.config.shape.is_some()
    }

    pub(super) fn trains(&self) -> bool {
        self.parameters.is_some()
    }

    /// How many rows an update is made of, if that was said.
    pub(super) fn rows(&self) -> Option<u64> {
        self.workload.training.as_ref()?.rows
    }

    /// The settings to begin with.
    pub(super) fn begin(&self) -> Settings {
        let workload = self.workload;
        let context = DEFAULT_CONTEXT.min(self.longest().unwrap_or(DEFAULT_CONTEXT));
        Settings {
            context: workload.context.or(context),
            batch: workload.batch.or(self.rows().unwrap_or(1)),
            chunk: workload.chunk.or(CHUNK),
        }
    }

    /// Everything at these settings.
    pub(super) fn at(&self, settings: Settings) -> Estimate {
        let workload = self.workload;
        let mut items = match (&self.parameters, &workload.training) {
            (Some(parameters), Some(training)) => parameters.items(training, settings.batch),
            _ => self.generating(settings),
        };
        if !workload.model.is_whole() {
            self.lower_to_what_was_read(&mut items);
        }
        let training = workload.training.as_ref();
        // The items add up to the bytes, also where these are more than can be said.
        let mut bytes = 0_u64;
        for item in &mut items {
            item.bytes = item.bytes.min(u64::MAX - bytes);
            bytes += item.bytes;
        }
        Estimate {
            bytes,
            items,
            problems: self.problems.clone(),
            context: self.has_cache().then_some(settings.context),
            batch: settings.batch,
            passes: training.map_or(1, |training| training.passes(settings.batch)),
        }
    }

    /// What follows from weights that were not all read is known at least.
    fn lower_to_what_was_read(&self, items: &mut [Item]) {
        let follows = |item: &&mut Item| {
            item.id == "weights" || self.trains() && !matches!(item.id, "step" | "activations")
        };
        for item in items.iter_mut().filter(follows) {
            item.certainty = Certainty::Unknown;
        }
    }

    fn generating(&self, settings: Settings) -> Vec<Item> {
        let workload = self.workload;
        let mut items = self.weights.clone();
        let config = &workload.model.inner.config;
        let tokens = Tokens {
            context: settings.context,
            batch: settings.batch,
            chunk: settings.chunk,
            quantised: workload.quantised,
        };
        if let Some(shape) = &config.shape {
            items.extend(kv::items(shape, &tokens));
            items.push(prefill::item(shape, &tokens, workload.device));
            self.name_context(&mut items, settings);
        } else if !config.keeps_nothing && (workload.model.inner.has_config || self.is_asked()) {
            items.push(Item {
                id: "kv-cache",
                what: "keys and values".to_owned(),
                bytes: 0,
                formula: match workload.model.inner.has_config {
                    true => "config.json does not say".to_owned(),
                    false => "there is no config.json".to_owned(),
                },
                source: "config.json",
                certainty: Certainty::Unknown,
                is_held: false,
            });
        }
        items
    }

    /// Where the context was not the caller's, the first item that depends on it says which it is.
    fn name_context(&self, items: &mut [Item], settings: Settings) {
        if self.workload.context != Knob::Auto {
            return;
        }
        let depends = |item: &&mut Item| matches!(item.id, "kv-cache" | "kv-windows" | "prefill");
        if let Some(item) = items.iter_mut().find(depends) {
            let context = thousands(settings.context);
            let longest = self.longest().filter(|longest| *longest > settings.context);
            let longest =
                longest.map(|longest| format!(" (config.json allows {})", thousands(longest)));
            item.formula += &format!(
                "; no context was given: {context} tokens{}",
                longest.unwrap_or_default()
            );
        }
    }
}

/// An item for each part's weights.
fn weights(workload: &Workload) -> Vec<Item> {
    let model = &workload.model;
    let item = |part: &super::Weights| {
        let plural = if part.tensors == 1 { "" } else { "s" };
        let tensors = format!("{} tensor{plural}", thousands(part.tensors as u64));
        let (formula, source) = match (model.inner.is_planned, part.files) {
            (true, _) => (
                format!("{tensors}, by config.json"),
                "transformers, modeling_*.py",
            ),
            (_, 1) => (
                format!("{tensors} in 1 file, by its header"),
                "safetensors' data_offsets",
            ),
            (_, n) => (
                format!("{tensors} in {n} files, by their headers"),
                "safetensors' data_offsets",
            ),
        };
        Item {
            id: "weights",
            what: match part.part.as_str() {
                "" => "weights".to_owned(),
                part => format!("weights, {part}"),
            },
            bytes: part.bytes,
            formula,
            source,
            certainty: Certainty::Exact,
            is_held: true,
        }
    };
    model.weights.iter().map(item).collect()
}
