//! What is estimated before a model is loaded: bytes of every layout of files, the cache of keys and values, training's
//! state, and whether it goes into a budget.

#![cfg(feature = "estimate")]

mod cache;
mod checkpoints;
mod configs;
mod folders;
#[path = "../kit/mod.rs"]
mod kit;
mod layouts;
mod malformed;
mod plans;
mod soup;
mod training;

use mlx_wired::train::estimate::{
    Certainty, Estimate, Item, Model, Plan, Severity, Verdict, Workload, plan,
};

/// What a model at this path is, which is there.
fn read(path: impl AsRef<std::path::Path>) -> Model {
    Model::read(path).expect("something is there")
}

/// Its plan for a terabyte.
fn ample(model: &Model) -> Plan {
    plan(1 << 40, &Workload::new(model.clone()))
}

/// A model that is whole: its bytes.
#[track_caller]
fn whole(path: impl AsRef<std::path::Path>) -> u64 {
    let model = read(path);
    assert!(model.is_whole(), "{:#?}", model.problems);
    let plan = ample(&model);
    assert_eq!(plan.verdict, Verdict::Fits, "{plan}");
    assert_eq!(plan.estimate.held(), model.bytes());
    model.bytes()
}

/// A model that is not: the text of its worst problem, whose kind is the given one. Nothing may be said to go in.
#[track_caller]
fn lacking(path: impl AsRef<std::path::Path>, id: &str) -> String {
    let model = read(path);
    let plan = ample(&model);
    assert_eq!(plan.verdict, Verdict::Unknown, "{plan}");
    let problem = plan
        .estimate
        .problems
        .iter()
        .find(|problem| problem.id == id);
    let problem = problem.unwrap_or_else(|| panic!("no {id} in {plan}"));
    assert_eq!(problem.severity, Severity::Error);
    let is_exact = |item: &Item| item.id == "weights" && item.certainty == Certainty::Exact;
    let claims = plan.estimate.items.iter().any(is_exact);
    assert!(model.is_whole() || !claims, "{plan}");
    let text = plan.to_string();
    assert!(!text.contains("fits"), "{text}");
    let has_control = text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!has_control, "{text:?}");
    problem.text.clone()
}

/// The bytes of the item of that kind; 0 if there is none.
fn item(estimate: &Estimate, id: &str) -> u64 {
    let items = estimate.items.iter().filter(|item| item.id == id);
    items.map(|item| item.bytes).sum()
}
