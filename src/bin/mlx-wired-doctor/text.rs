//! What is said, for people: the verdict, what adds up to it, what is wrong, what to write, and the machine.

use super::answer::Answer;
use super::facts::facts;
use super::finding::Finding;
use super::output::Marks;
use super::report::Report;
use mlx_wired::print::Bytes;
use mlx_wired::train::estimate::{Certainty, Item, Plan, Severity, Verdict};
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
        if let Some(plan) = answer.plan.as_ref().filter(|it| it.estimate.bytes > 0) {
            writeln!(f, "\n{}", answer.folder)?;
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
    let sizes: Vec<String> = estimate.items.iter().map(size).collect();
    let names = estimate.items.iter().map(|item| item.what.chars().count());
    let (sum, least) = (Bytes(estimate.bytes).to_string(), estimate.least());
    let name_wide = names.max().unwrap_or(0).max("together".len());
    let sizes_wide = sizes.iter().map(String::len).max().unwrap_or(0);
    let size_wide = sizes_wide.max(sum.len());
    for (item, size) in estimate.items.iter().zip(&sizes) {
        let (what, certainty, formula) = (&item.what, item.certainty, &item.formula);
        writeln!(
            f,
            "  {what:<name_wide$}  {size:>size_wide$}  {certainty:<9}  {formula}"
        )?;
    }
    write!(f, "  {:<name_wide$}  {sum:>size_wide$}", "together")?;
    match (estimate.is_known(), least == estimate.bytes) {
        (_, false) => writeln!(f, "  at least {}", Bytes(least)),
        (false, true) => writeln!(f, "  at least"),
        (true, true) => writeln!(f),
    }
}

fn size(item: &Item) -> String {
    match item.certainty {
        Certainty::Unknown if item.bytes == 0 => "?".to_owned(),
        Certainty::Unknown => format!("> {}", Bytes(item.bytes)),
        _ => Bytes(item.bytes).to_string(),
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
        let plural = if tensors == 1 { "" } else { "s" };
        writeln!(f, "  {name}: {bytes} in {tensors} tensor{plural}")?;
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
