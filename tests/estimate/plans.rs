//! Whether a workload goes into a budget, and what is changed to that end.

use crate::checkpoints::half;
use crate::configs::{GEMMA, QWEN, model};
use crate::item;
use crate::kit::{Folder, MIB};
use mlx_wired::train::estimate::{
    Knob, MIN_CHUNK, MIN_CONTEXT, Model, Optimizer, StepCost, Training, Verdict, Workload,
    estimate, plan,
};

fn weights(mib: u64) -> (Folder, Workload) {
    let folder = Folder::with("model.safetensors", &[half("up", mib)]);
    let model = Model::read(folder.path()).expect("it is there");
    (folder, Workload::new(model))
}

#[test]
fn the_verdict_turns_at_a_tenth_and_at_the_last_byte() {
    let (_folder, workload) = weights(90);
    let needed = 90 * MIB;
    let at = |budget| plan(budget, &workload).verdict;
    assert_eq!(at(100 * MIB), Verdict::Fits);
    assert_eq!(at(100 * MIB - 1), Verdict::Tight);
    assert_eq!(at(needed), Verdict::Tight);
    assert_eq!(at(needed - 1), Verdict::Impossible);
    assert_eq!(at(0), Verdict::Impossible);
    assert_eq!(at(u64::MAX), Verdict::Fits);
}

#[test]
fn what_is_not_known_is_impossible_only_if_the_rest_is() {
    let folder = Folder::new();
    folder.sharded(&[10, 10, 10], &[2]);
    let workload = Workload::new(Model::read(folder.path()).expect("it is there"));
    assert_eq!(plan(1 << 40, &workload).verdict, Verdict::Unknown);
    assert_eq!(plan(20 * MIB, &workload).verdict, Verdict::Unknown);
    assert_eq!(plan(20 * MIB - 1, &workload).verdict, Verdict::Impossible);
}

#[test]
fn a_fixed_knob_is_never_touched() {
    let workload = Workload::new(model(GEMMA))
        .context(32_768)
        .batch(16)
        .prefill(2_048);
    for budget in [0, 1 << 29, 1 << 30, 1 << 31, 1 << 32, 1 << 40] {
        let plan = plan(budget, &workload);
        assert!(plan.change.is_empty());
        assert_eq!(
            (plan.estimate.context, plan.estimate.batch),
            (Some(32_768), 16)
        );
        assert_eq!(plan.estimate, estimate(&workload));
    }
    // What would go in is told all the same.
    let plan = plan(1 << 30, &workload);
    assert_eq!(plan.verdict, Verdict::Impossible);
    let largest = plan.largest;
    assert!(largest.batch.is_none_or(|batch| batch < 16));
    assert!(largest.context.is_none_or(|context| context < 32_768));
}

#[test]
fn an_auto_knob_shrinks_until_a_tenth_is_left_in_a_stated_order() {
    let workload = Workload::new(model(QWEN)).batch(64);
    let begin = estimate(&workload).bytes;
    let all = plan(begin * 2, &workload);
    assert!(all.change.is_empty());
    let less = plan(begin * 2 / 3, &workload);
    let knobs: Vec<_> = less
        .change
        .iter()
        .map(|change| (change.knob, change.from, change.to))
        .collect();
    let context = less.estimate.context.expect("it matters");
    assert_eq!(
        knobs,
        [("prefill", 2048, MIN_CHUNK), ("context", 8192, context)]
    );
    let saved: u64 = less.change.iter().map(|change| change.saved).sum();
    assert_eq!(less.estimate.bytes, begin - saved);
    assert_eq!(less.verdict, Verdict::Fits);
    // One step of the cache more would not leave a tenth.
    let more = workload.clone().context(context + 256).prefill(MIN_CHUNK);
    assert!(plan(begin * 2 / 3, &more).verdict != Verdict::Fits);
    assert_eq!(less.largest.context, Some(context));

    // No further than stated.
    let none = plan(1 << 20, &workload);
    assert_eq!(none.verdict, Verdict::Impossible);
    assert_eq!(none.estimate.context, Some(MIN_CONTEXT));
    assert_eq!((none.largest.context, none.largest.batch), (None, None));
}

#[test]
fn the_largest_that_would_go_in() {
    let workload = Workload::new(model(QWEN)).context(4_096).prefill(512);
    let budget = 4 << 30;
    let all = plan(budget, &workload);
    let batch = all.largest.batch.expect("one goes in");
    assert!(batch > 1);
    assert_eq!(
        plan(budget, &workload.clone().batch(batch)).verdict,
        Verdict::Fits
    );
    assert_ne!(
        plan(budget, &workload.clone().batch(batch + 1)).verdict,
        Verdict::Fits
    );
    // As long as the configuration states, and no longer.
    assert_eq!(all.largest.context, Some(32_768));
    assert_eq!(plan(u64::MAX, &workload).largest.batch, Some(1 << 16));
}

#[test]
fn in_training_the_rows_of_an_update_stay() {
    let cost = StepCost::line((1, 1 << 30), (2, 3 << 29)).expect("more rows took more");
    let training = Training::new(Optimizer::Adam).rows(32).measured(cost);
    let workload = Workload::new(model(QWEN)).train(training);
    let held = estimate(&workload).held();
    // Room for the sum of gradients and the step of 4 rows, and a tenth.
    let gradients = 4 * 494_032_768;
    let budget = (held + gradients + (1 << 29) + 4 * (1 << 29)) * 10 / 9 + 10;
    let all = plan(budget, &workload);
    let change: Vec<_> = all
        .change
        .iter()
        .map(|change| (change.knob, change.from, change.to))
        .collect();
    assert_eq!(change, [("batch", 32, 4)]);
    assert_eq!(
        (all.estimate.batch, all.estimate.passes, all.verdict),
        (4, 8, Verdict::Fits)
    );
    assert_eq!(item(&all.estimate, "accumulation"), gradients);
    assert_eq!(all.largest.batch, Some(4));
    let fixed = plan(budget, &workload.clone().batch(32));
    assert_eq!(
        (fixed.verdict, fixed.change.len()),
        (Verdict::Impossible, 0)
    );
    assert_eq!(fixed.largest.batch, Some(4));
    assert_eq!(plan(1 << 40, &workload).largest.batch, Some(32));
}

#[test]
fn without_a_measured_step_training_is_unknown() {
    let workload = Workload::new(model(QWEN)).train(Training::new(Optimizer::AdamW));
    let all = plan(1 << 40, &workload);
    assert_eq!((all.verdict, all.largest.batch), (Verdict::Unknown, None));
    assert_eq!(plan(1 << 30, &workload).verdict, Verdict::Impossible);
    // What an update takes is a bound from above: it makes nothing impossible.
    let least = estimate(&workload).least();
    assert_eq!(least, 4 * 4 * 494_032_768);
    assert_eq!(plan(least, &workload).verdict, Verdict::Unknown);
    assert_eq!(plan(least - 1, &workload).verdict, Verdict::Impossible);
}

#[test]
fn machines_read_verdict_bytes_items_and_problems() {
    let (_folder, workload) = weights(90);
    let json =
        serde_json::to_value(plan(100 * MIB, &workload.batch(Knob::Auto))).expect("it is JSON");
    assert_eq!(json["verdict"], "fits");
    assert_eq!(json["bytes"], 90 * MIB);
    assert_eq!(json["left"], 10 * MIB);
    assert_eq!(json["items"][0]["id"], "weights");
    assert_eq!(json["items"][0]["certainty"], "exact");
    assert_eq!(json["problems"][0]["severity"], "note");
    for verdict in [Verdict::Tight, Verdict::Impossible, Verdict::Unknown] {
        assert_eq!(
            serde_json::to_value(verdict).expect("it is JSON"),
            verdict.to_string()
        );
    }
}

#[test]
fn people_read_a_table() {
    let text = plan(4 << 30, &Workload::new(model(QWEN)).context(4_096)).to_string();
    assert!(text.starts_with("fits: "), "{text}");
    assert!(!text.contains("GB"), "{text}");
    for line in [
        "weights",
        "keys and values",
        "work while a prompt is read",
        "together",
        "largest batch",
    ] {
        assert!(
            text.lines().any(|it| it.starts_with(line)),
            "no {line} in {text}"
        );
    }
}

#[test]
fn nothing_is_chosen_where_that_gains_nothing() {
    let training = Training::new(Optimizer::AdamW).rows(32);
    let all = plan(4 << 30, &Workload::new(model(QWEN)).train(training));
    assert_eq!((all.estimate.batch, all.change.len()), (32, 0));
}

#[test]
fn no_batch_is_chosen_that_was_not_measured() {
    let training = Training::new(Optimizer::AdamW)
        .rows(32)
        .measured(StepCost::at(32, 8 << 30));
    let workload = Workload::new(model(QWEN)).train(training);
    let all = plan(12 << 30, &workload);
    assert_eq!(
        (all.verdict, all.estimate.batch, all.change.len()),
        (Verdict::Impossible, 32, 0)
    );
    assert_eq!(all.largest.batch, None);
    assert_eq!(plan(16 << 30, &workload).verdict, Verdict::Fits);
}

#[test]
fn no_largest_setting_is_told_where_not_all_is_known() {
    let folder = Folder::new();
    folder.sharded(&[10, 10], &[1]);
    folder.write("config.json", QWEN);
    let workload = Workload::new(Model::read(folder.path()).expect("it is there"));
    let all = plan(1 << 40, &workload);
    assert_eq!(
        (all.verdict, all.largest.context, all.largest.batch),
        (Verdict::Unknown, None, None)
    );
}
