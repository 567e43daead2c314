//! What is said, for programs: one object. Fields are only added; ids stay, texts do not.

use super::answer::Answer;
use super::environment::Variable;
use super::finding::Finding;
use super::machine::{Machine, Trial};
use super::report::Report;
use super::wired_limit::Raise;
use mlx_wired::print::Name;
use mlx_wired::train::estimate::{Certainty, Change, Item, Largest, Verdict};
use serde::Serialize;

/// Of the object. Another one says that fields mean something else.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Object<'a> {
    schema: u32,
    /// `null` where no folder was named.
    verdict: Option<Verdict>,
    /// The sum of the items.
    bytes: u64,
    items: Vec<Row<'a>>,
    problems: &'a [Finding],
    /// What is known of it without bounds from above.
    least: u64,
    /// What of the budget is left.
    left: Option<u64>,
    budget: Option<Budget>,
    folder: Option<&'a str>,
    summary: Option<String>,
    settings: Option<Settings<'a>>,
    /// The lines to write.
    tickets: &'a [String],
    machine: Option<Facts<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    bytes: u64,
    source: &'a str,
    exact: bool,
    certainty: Certainty,
    /// It stays between requests or steps.
    held: bool,
    what: &'a str,
    formula: &'a str,
}

#[derive(Serialize)]
struct Budget {
    bytes: u64,
    of: &'static str,
}

#[derive(Serialize)]
struct Settings<'a> {
    context: Option<u64>,
    batch: u64,
    change: &'a [Change],
    largest: Largest,
}

#[derive(Serialize)]
struct Facts<'a> {
    device: String,
    name: Option<String>,
    architecture: Option<String>,
    mlx: Option<String>,
    wires: bool,
    support: String,
    memory: Option<u64>,
    available: Option<u64>,
    container: Option<u64>,
    device_memory: Option<u64>,
    device_free: Option<u64>,
    recommended: Option<u64>,
    ceiling: Option<u64>,
    largest_buffer: Option<u64>,
    most_buffers: Option<u64>,
    memory_limit: Option<u64>,
    /// A Mac's own limit as it is set; 0 is the system's default.
    wired_limit: Option<u64>,
    raise: Option<&'a Raise>,
    /// `wired`, `counted` or `refused`.
    guard: &'static str,
    environment: &'a [Variable],
}

pub(crate) fn report(report: &Report) -> String {
    let machine = report.machine.as_ref();
    let answer = report.answer.as_ref();
    let plan = answer.and_then(|answer| answer.plan.as_ref());
    let budget = machine.and_then(|machine| machine.budget);
    text(&Object {
        schema: SCHEMA,
        verdict: answer.map(|answer| answer.verdict),
        bytes: plan.map_or(0, |plan| plan.estimate.bytes),
        items: plan.map_or_else(Vec::new, |plan| {
            plan.estimate.items.iter().map(row).collect()
        }),
        problems: &report.findings,
        least: plan.map_or(0, |plan| plan.estimate.least()),
        left: plan.and_then(|plan| budget.map(|_| plan.left)),
        budget: budget.map(|budget| Budget {
            bytes: budget.bytes,
            of: budget.of,
        }),
        folder: answer.map(|answer| answer.folder.as_str()),
        summary: answer.map(Answer::summary),
        settings: plan.map(|plan| Settings {
            context: plan.estimate.context,
            batch: plan.estimate.batch,
            change: &plan.change,
            largest: plan.largest,
        }),
        tickets: answer.map_or(&[], |answer| &answer.tickets),
        machine: machine.map(facts),
    })
}

/// Where nothing else could be said.
pub(crate) fn failure(finding: Finding) -> String {
    text(&Object {
        schema: SCHEMA,
        verdict: Some(Verdict::Unknown),
        bytes: 0,
        items: Vec::new(),
        problems: &[finding],
        least: 0,
        left: None,
        budget: None,
        folder: None,
        summary: None,
        settings: None,
        tickets: &[],
        machine: None,
    })
}

fn text(object: &Object<'_>) -> String {
    let text = serde_json::to_string_pretty(object).expect("keys are text, and numbers are whole");
    text + "\n"
}

fn row(item: &Item) -> Row<'_> {
    Row {
        id: item.id,
        bytes: item.bytes,
        source: item.source,
        exact: item.certainty == Certainty::Exact,
        certainty: item.certainty,
        held: item.is_held,
        what: &item.what,
        formula: &item.formula,
    }
}

fn facts(machine: &Machine) -> Facts<'_> {
    let device = &machine.device;
    let name = |text: &String| Name::new(text).to_string();
    Facts {
        device: device.kind.to_string(),
        name: device.name.as_ref().map(name),
        architecture: device.architecture.as_ref().map(name),
        mlx: machine.mlx.as_ref().map(name),
        wires: machine.wires(),
        support: device.support.to_string(),
        memory: machine.memory,
        available: machine.available,
        container: machine.container,
        device_memory: device.memory_size,
        device_free: device.free_memory,
        recommended: device.max_recommended_working_set_size,
        ceiling: machine.ceiling.map(|ceiling| ceiling.bytes),
        largest_buffer: device.max_buffer_length,
        most_buffers: device.resource_limit,
        memory_limit: machine.counters.map(|counters| counters.memory_limit),
        wired_limit: machine.wired_limit,
        raise: machine.raise.as_ref(),
        guard: match &machine.trial {
            Trial::Wired => "wired",
            Trial::Counted => "counted",
            Trial::Refused(_) => "refused",
        },
        environment: &machine.variables,
    }
}
