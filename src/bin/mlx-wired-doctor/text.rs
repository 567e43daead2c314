//! What is said, for people: the verdict, what adds up to it, what is wrong, what to write, and the machine.

use super::Report;
use super::answer::Answer;
use super::finding::Finding;
use super::machine::{Machine, Trial};
use super::output::Marks;
use mlx_wired::ffi::DeviceKind;
use mlx_wired::print::{Bytes, Name};
use mlx_wired::train::estimate::{Certainty, Plan, Severity, Verdict};
use std::fmt::{self, Write};

pub(crate) fn report(report: &Report, verbose: bool, marks: Marks) -> String {
    let mut text = String::new();
    write_report(&mut text, report, verbose, marks).expect("a string takes everything");
    text
}

/// Where nothing else could be said.
pub(crate) fn failure(finding: &Finding) -> String {
    format!("unknown: {}; {}\n", finding.text, finding.cure)
}

fn write_report(f: &mut String, report: &Report, verbose: bool, marks: Marks) -> fmt::Result {
    if let Some(answer) = &report.answer {
        let mark = match answer.verdict {
            Verdict::Fits => marks.good,
            Verdict::Tight => marks.doubtful,
            _ => marks.bad,
        };
        writeln!(f, "{mark} {}", answer.summary())?;
        writeln!(f, "\n{}", answer.folder)?;
        if let Some(plan) = &answer.plan {
            items(f, plan)?;
            settings(f, plan)?;
        }
        if verbose {
            types(f, answer)?;
        }
        writeln!(f)?;
    }
    findings(f, &report.findings, verbose, marks)?;
    if let Some(answer) = report.answer.as_ref().filter(|it| !it.tickets.is_empty()) {
        writeln!(f, "write:\n")?;
        for line in &answer.tickets {
            writeln!(f, "{}", format!("    {line}").trim_end())?;
        }
        writeln!(f)?;
    }
    if let Some(machine) = &report.machine {
        writeln!(f, "machine:")?;
        for (name, value) in facts(machine, verbose) {
            writeln!(f, "  {name:<14} {value}")?;
        }
    }
    Ok(())
}

/// A row for each, and the sum.
fn items(f: &mut String, plan: &Plan) -> fmt::Result {
    let estimate = &plan.estimate;
    let rows: Vec<(&str, String, Certainty, &str)> = estimate
        .items
        .iter()
        .map(|item| {
            let bytes = match item.certainty {
                Certainty::Unknown if item.bytes == 0 => "?".to_owned(),
                Certainty::Unknown => format!("> {}", Bytes(item.bytes)),
                _ => Bytes(item.bytes).to_string(),
            };
            (
                item.what.as_str(),
                bytes,
                item.certainty,
                item.formula.as_str(),
            )
        })
        .collect();
    let wide = |width: &dyn Fn(&(&str, String, Certainty, &str)) -> usize| {
        rows.iter().map(width).max().unwrap_or(0)
    };
    let what_wide = wide(&|row| row.0.chars().count()).max("together".len());
    let bytes_wide = wide(&|row| row.1.len()).max(12);
    for (what, bytes, certainty, formula) in &rows {
        writeln!(
            f,
            "  {what:<what_wide$}  {bytes:>bytes_wide$}  {certainty:<9}  {formula}"
        )?;
    }
    let together = Bytes(estimate.bytes).to_string();
    write!(f, "  {:<what_wide$}  {together:>bytes_wide$}", "together")?;
    let least = estimate.least();
    match (estimate.is_known(), least == estimate.bytes) {
        (_, false) => writeln!(f, "  at least {}", Bytes(least)),
        (false, true) => writeln!(f, "  at least"),
        (true, true) => writeln!(f),
    }
}

/// What it was counted with, and what else there would be room for.
fn settings(f: &mut String, plan: &Plan) -> fmt::Result {
    let estimate = &plan.estimate;
    let mut parts = Vec::new();
    parts.extend(estimate.context.map(|context| format!("context {context}")));
    if estimate.context.is_some() || estimate.batch > 1 {
        parts.push(format!("batch {}", estimate.batch));
    }
    for change in &plan.change {
        let (knob, from, to) = (change.knob, change.from, change.to);
        parts.push(format!("{knob} made smaller, {from} -> {to}, to have room"));
    }
    if !parts.is_empty() {
        writeln!(f, "  with {}", parts.join(", "))?;
    }
    let largest = plan.largest;
    let mut parts = Vec::new();
    parts.extend(
        largest
            .context
            .map(|context| format!("a context of {context}")),
    );
    parts.extend(largest.batch.map(|batch| format!("a batch of {batch}")));
    if !parts.is_empty() {
        let parts = parts.join(", or ");
        writeln!(f, "  at most {parts}, with a tenth of the memory left")?;
    }
    Ok(())
}

fn types(f: &mut String, answer: &Answer) -> fmt::Result {
    let Some(model) = &answer.model else {
        return Ok(());
    };
    for (name, of) in &model.types {
        let (tensors, bytes) = (of.tensors, Bytes(of.bytes));
        writeln!(f, "  {name}: {bytes} in {tensors} tensors")?;
    }
    if let Some((name, bytes)) = &model.largest {
        writeln!(f, "  the largest tensor: {}, {name}", Bytes(*bytes))?;
    }
    Ok(())
}

/// Errors and warnings; of notes their ids alone, unless they are asked for.
fn findings(f: &mut String, all: &[Finding], verbose: bool, marks: Marks) -> fmt::Result {
    let mark = |finding: &Finding| match finding.severity {
        Severity::Error => marks.bad,
        Severity::Warning => marks.doubtful,
        _ => marks.note,
    };
    let is_told = |finding: &&Finding| verbose || finding.severity > Severity::Note;
    let mut is_empty = true;
    for finding in all.iter().filter(is_told) {
        is_empty = false;
        let (mark, text, cure) = (mark(finding), &finding.text, &finding.cure);
        let indent = mark.chars().count() + 1;
        writeln!(f, "{mark} {text}\n{:indent$}cure: {cure}", "")?;
    }
    let mut rest: Vec<&str> = Vec::new();
    for finding in all.iter().filter(|finding| !is_told(finding)) {
        if !rest.contains(&finding.id) {
            rest.push(finding.id);
        }
    }
    if !rest.is_empty() {
        is_empty = false;
        writeln!(f, "{} {} (-v tells more)", marks.note, rest.join(", "))?;
    }
    if is_empty { Ok(()) } else { writeln!(f) }
}

fn facts(machine: &Machine, verbose: bool) -> Vec<(&'static str, String)> {
    let device = &machine.device;
    let mut facts = Vec::new();
    let known = device.name.iter().chain(&device.architecture);
    let known: String = known.map(|it| format!(", {}", Name::new(it))).collect();
    facts.push(("device", format!("{}{known}", device.kind)));
    facts.push((
        "MLX",
        match &machine.mlx {
            Some(version) => format!("{} is linked", Name::new(version)),
            None => "not linked".to_owned(),
        },
    ));
    if let Some(memory) = machine
        .device
        .memory_size
        .filter(|_| device.kind == DeviceKind::Cuda)
    {
        let free = device
            .free_memory
            .map(|free| format!(", {} free", Bytes(free)));
        facts.push((
            "card's memory",
            format!("{}{}", Bytes(memory), free.unwrap_or_default()),
        ));
    }
    // What the device says first: it is the one that counts.
    let memory = match device.kind {
        DeviceKind::Cuda => machine.memory,
        _ => device.memory_size.or(machine.memory),
    };
    if let Some(memory) = memory {
        let free = machine
            .available
            .map(|free| format!(", {} free at present", Bytes(free)));
        facts.push((
            "memory",
            format!("{}{}", Bytes(memory), free.unwrap_or_default()),
        ));
    }
    facts.push((
        "container",
        match machine.container {
            Some(limit) => format!("allows {}", Bytes(limit)),
            None => "none that allows less".to_owned(),
        },
    ));
    facts.push(("wired memory", device.support.to_string()));
    if let Some(ceiling) = &machine.ceiling {
        facts.push(("ceiling", ceiling.to_string()));
    }
    wired_limit(machine, &mut facts);
    facts.push((
        "budget",
        match machine.budget {
            Some(budget) => format!("{}, {}", Bytes(budget.bytes), budget.of),
            None => "not known".to_owned(),
        },
    ));
    facts.push((
        "a guard",
        match &machine.trial {
            Trial::Wired => "of 1 MiB is admitted and wired".to_owned(),
            Trial::Counted => "of 1 MiB is admitted; nothing is wired".to_owned(),
            Trial::Refused(_) => "of 1 MiB is refused".to_owned(),
        },
    ));
    if verbose {
        let sizes = [
            ("largest buffer", device.max_buffer_length),
            ("memory limit", machine.counters.map(|it| it.memory_limit)),
        ];
        for (name, bytes) in sizes {
            facts.extend(bytes.map(|bytes| (name, Bytes(bytes).to_string())));
        }
        facts.extend(
            device
                .resource_limit
                .map(|n| ("buffers", format!("at most {n} at once"))),
        );
    }
    for variable in &machine.variables {
        let meaning = variable
            .meaning
            .map(|it| format!(": {it}"))
            .unwrap_or_default();
        facts.push((
            "environment",
            format!("{}={}{meaning}", variable.name, variable.value),
        ));
    }
    if machine.variables.is_empty() {
        facts.push(("environment", "nothing is set".to_owned()));
    }
    facts
}

/// A Mac's own limit, and what raises it.
fn wired_limit(machine: &Machine, facts: &mut Vec<(&'static str, String)>) {
    match machine.wired_limit {
        Some(0) => facts.push(("system's limit", "the system's default".to_owned())),
        Some(bytes) => facts.push(("system's limit", format!("set to {}", Bytes(bytes)))),
        None => {}
    }
    if let Some(raise) = &machine.raise {
        let (more, command) = (Bytes(raise.more), &raise.command);
        facts.push((
            "to raise it",
            format!("{command}   ({more} more, until the next start)"),
        ));
    }
}
