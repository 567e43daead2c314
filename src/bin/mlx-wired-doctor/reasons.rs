//! Why a model does not go in, or why that cannot be said, and what to do; and what is worth knowing where it does.
//!
//! What the files lack is told by the estimate. Here is what follows from the machine, and from what cannot be estimated:
//! each verdict that lets no program begin has an error that says why.

use super::finding::Finding;
use super::machine::{Budget, Machine};
use super::options::Options;
use mlx_wired::ffi::DeviceKind;
use mlx_wired::print::Bytes;
use mlx_wired::train::estimate::{Certainty, Item, Plan, Verdict, Workload, plan};

pub(crate) fn of(
    plan: &Plan,
    workload: &Workload,
    options: &Options,
    machine: Option<&Machine>,
) -> Vec<Finding> {
    let problems = plan.estimate.problems.iter().cloned();
    let mut findings: Vec<Finding> = problems.map(Finding::from).collect();
    // Where an error of the files says why an item is not known, that is enough.
    if !findings.iter().any(Finding::is_error) {
        let items = plan.estimate.items.iter();
        findings.extend(items.filter_map(|item| unknown(item, options)));
    }
    match machine.and_then(|machine| machine.budget) {
        None => findings.push(Finding::error(
            "no-budget",
            "how much memory may be used is not known, so there is nothing to compare with",
            "none for the verdict; `bytes` and the items hold all the same",
        )),
        Some(budget) => match plan.verdict {
            Verdict::Impossible => {
                let container = machine.and_then(|machine| machine.container);
                findings.push(too_large(plan, options, budget, container));
            }
            Verdict::Unknown if plan.estimate.is_known() => findings.push(bounded(plan)),
            _ => {}
        },
    }
    if options.train.is_some() && options.context.is_some() {
        findings.push(Finding::note(
            "context-of-training",
            "what the context takes in training is part of the measured step",
            "measure the step with that context",
        ));
    }
    if let Some(machine) = machine {
        findings.extend(raised(plan, workload, machine));
        findings.extend(in_use(plan, machine));
    }
    findings
}

/// Whether all is known but a training step, which can be measured.
pub(crate) fn lacks_a_measured_step(plan: &Plan, findings: &[Finding]) -> bool {
    let mut errors = findings.iter().filter(|finding| finding.is_error());
    let is_of_step = errors
        .next()
        .is_some_and(|error| error.id == "step-not-measured");
    plan.verdict == Verdict::Unknown && is_of_step && errors.next().is_none()
}

fn unknown(item: &Item, options: &Options) -> Option<Finding> {
    if item.certainty != Certainty::Unknown {
        return None;
    }
    if item.id == "activations" {
        let batch = match options.batch() {
            Some(batch) => format!("--batch {batch} "),
            None => String::new(),
        };
        return Some(Finding::error(
            "step-not-measured",
            "what a training step takes for a while cannot be estimated: it must be measured",
            format!("measure one (`Measuring`), and ask again with {batch}--step BYTES"),
        ));
    }
    let how_much = match item.bytes {
        0 => "cannot be counted",
        _ => "can be counted in part alone",
    };
    Some(Finding::error(
        "item-unknown",
        format!("{} {how_much}: {}", item.what, item.formula),
        "fetch the model's config.json if it is missing; else measure a request, and add what it takes to the weights",
    ))
}

fn too_large(plan: &Plan, options: &Options, budget: Budget, container: Option<u64>) -> Finding {
    let largest = plan.largest;
    let mut cures = Vec::new();
    if let (Some(context), Some(_)) = (largest.context, options.context) {
        cures.push(format!("ask for a context of at most {context}"));
    }
    if let (Some(batch), Some(_)) = (largest.batch, options.batch()) {
        cures.push(format!("ask for a batch of at most {batch}"));
    }
    if options.train.is_some() && !options.trains_adapters() {
        cures.push("train low-rank adapters (--lora 8)".to_owned());
    }
    if let Some(limit) = container {
        let limit = Bytes(limit);
        cures.push(format!("give the container more than {limit}"));
    }
    let least = plan.estimate.least();
    let ample = Bytes(least.saturating_add(least / 9));
    cures.push(format!(
        "take a smaller quantisation, or a machine that leaves {ample} or more"
    ));
    Finding::error(
        "too-large",
        format!(
            "it takes {} at least, and {} is {}",
            Bytes(least),
            budget.of,
            Bytes(budget.bytes)
        ),
        cures.join("; or "),
    )
}

/// All is known, and some of it only as a bound that is too large.
fn bounded(plan: &Plan) -> Finding {
    let bounds = plan.estimate.items.iter();
    let bounds: Vec<&str> = bounds
        .filter(|item| item.certainty == Certainty::Bound)
        .map(|item| item.what.as_str())
        .collect();
    Finding::error(
        "only-bounded",
        format!(
            "it takes from {} to {}: {} may take much less than the bound",
            Bytes(plan.estimate.least()),
            Bytes(plan.estimate.bytes),
            bounds.join(", ")
        ),
        "measure a step, and ask again with --step BYTES",
    )
}

/// Whether a Mac's limit is what is in the way, and can be raised.
fn raised(now: &Plan, workload: &Workload, machine: &Machine) -> Option<Finding> {
    let raise = machine.raise.as_ref()?;
    let is_good = |verdict| matches!(verdict, Verdict::Fits | Verdict::Tight);
    let then = plan(raise.bytes, workload);
    let improves = !is_good(now.verdict) && is_good(then.verdict)
        || now.verdict == Verdict::Tight && then.verdict == Verdict::Fits;
    improves.then(|| {
        Finding::warning(
            "wired-limit",
            format!(
                "the limit of wired memory is in the way: raised by {} it would leave {} beside the model",
                Bytes(raise.more),
                Bytes(then.left)
            ),
            format!("`{}` (until the next start), and start the program anew", raise.command),
        )
    })
}

/// Whether other programs use what the model needs.
fn in_use(plan: &Plan, machine: &Machine) -> Option<Finding> {
    // A card has memory of its own, and what it has free is its budget.
    let available = machine
        .available
        .filter(|_| machine.device.kind != DeviceKind::Cuda)?;
    let least = plan.estimate.least();
    let is_good = matches!(plan.verdict, Verdict::Fits | Verdict::Tight);
    (is_good && least > available).then(|| {
        Finding::warning(
            "memory-in-use",
            format!(
                "{} of the memory are free at present, and {} are needed: other programs use the rest",
                Bytes(available),
                Bytes(least)
            ),
            "end them before this one begins",
        )
    })
}
