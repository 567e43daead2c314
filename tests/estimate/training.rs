//! Training's state.

use crate::checkpoints::{half, matrix, single, tensor};
use crate::configs::{DEEPSEEK, QWEN, config, model};
use crate::item;
use crate::kit::{Folder, MIB};
use mlx_wired::train::estimate::{
    Certainty, Estimate, Lora, Model, Optimizer, Precision, StepCost, Training, Workload, estimate,
};
use serde_json::json;

const QWEN_NUMBERS: u64 = 494_032_768;

fn of(model: &Model, training: Training) -> Estimate {
    estimate(&Workload::new(model.clone()).train(training))
}

#[test]
fn state_of_every_optimizer_has_32_bits_and_promotes_what_it_updates() {
    let qwen = model(QWEN);
    for (optimizer, state) in [
        // A scalar for each array.
        (Optimizer::Sgd, 290 * 4),
        (Optimizer::Momentum, 4 * QWEN_NUMBERS),
        (Optimizer::Adam, 8 * QWEN_NUMBERS),
        (Optimizer::AdamW, 8 * QWEN_NUMBERS),
    ] {
        let all = of(&qwen, Training::new(optimizer));
        assert_eq!(item(&all, "optimizer-state"), state, "{optimizer}");
        assert_eq!(item(&all, "trained-weights"), 4 * QWEN_NUMBERS);
        assert_eq!(item(&all, "gradients"), 4 * QWEN_NUMBERS);
        assert_eq!(all.held(), 4 * QWEN_NUMBERS + state);
    }
}

#[test]
fn an_update_in_one_go_makes_new_weights_and_state_beside_the_old() {
    let qwen = model(QWEN);
    for (optimizer, copies) in [
        (Optimizer::Sgd, 1),
        (Optimizer::Momentum, 2),
        (Optimizer::AdamW, 3),
    ] {
        let all = of(&qwen, Training::new(optimizer));
        assert_eq!(item(&all, "update"), copies * 4 * QWEN_NUMBERS);
    }
}

#[test]
fn weights_that_are_cast_back_or_copied() {
    let qwen = model(QWEN);
    let adam = Training::new(Optimizer::Adam);
    let kept = of(&qwen, adam.clone().precision(Precision::Kept));
    assert_eq!(item(&kept, "trained-weights"), 2 * QWEN_NUMBERS);
    assert_eq!(item(&kept, "gradients"), 2 * QWEN_NUMBERS);
    assert_eq!(item(&kept, "optimizer-state"), 8 * QWEN_NUMBERS);
    // What has 32 bits and what is cast of it, beside the old.
    assert_eq!(item(&kept, "update"), (3 * 4 + 2) * QWEN_NUMBERS);
    let master = of(&qwen, adam.precision(Precision::Master));
    assert_eq!(item(&master, "master-weights"), 4 * QWEN_NUMBERS);
    assert_eq!(item(&master, "update"), (3 * 4 + 2) * QWEN_NUMBERS);
    assert_eq!(master.held(), kept.held() + 4 * QWEN_NUMBERS);
}

#[test]
fn gradients_of_several_passes_are_added_up() {
    let qwen = model(QWEN);
    let workload = |batch: u64| {
        let training = Training::new(Optimizer::Adam).rows(32);
        estimate(&Workload::new(qwen.clone()).train(training).batch(batch))
    };
    assert_eq!(
        (workload(32).passes, item(&workload(32), "accumulation")),
        (1, 0)
    );
    assert_eq!(
        (workload(5).passes, item(&workload(5), "accumulation")),
        (7, 4 * QWEN_NUMBERS)
    );
}

#[test]
fn activations_are_unknown_until_they_were_measured() {
    let qwen = model(QWEN);
    let training = Training::new(Optimizer::Adam).rows(8);
    let all = of(&qwen, training.clone());
    assert!(!all.is_known());
    let measured = StepCost::line((2, 300), (4, 500)).expect("more rows took more");
    let all = of(&qwen, training.clone().measured(measured));
    assert!(all.is_known());
    assert_eq!(all.step(), 900);
    assert_eq!(item(&all, "gradients") + item(&all, "update"), 0);
    let one = training.measured(StepCost::at(8, 777));
    assert_eq!(of(&qwen, one.clone()).step(), 777);
    let other = estimate(&Workload::new(qwen).train(one).batch(4));
    let unknown = other.items.last().expect("there are items");
    assert_eq!(
        (unknown.id, unknown.certainty),
        ("activations", Certainty::Unknown)
    );
    assert_eq!(StepCost::line((2, 300), (2, 500)), None);
    assert_eq!(StepCost::line((4, 300), (2, 500)), None);
}

#[test]
fn adapters_of_all_matrices_or_of_some() {
    let qwen = model(QWEN);
    let lora = |lora| of(&qwen, Training::new(Optimizer::AdamW).lora(lora));
    // Rows and columns of queries, keys, values, output, gate, up and down.
    let (h, f, kv) = (896, 4864, 128);
    let each = (h + h) + 2 * (h + kv) + (h + h) + 3 * (h + f);
    let all = lora(Lora::rank(8));
    assert_eq!(item(&all, "trained-weights"), 24 * 8 * each * 4);
    assert_eq!(item(&all, "weights"), 2 * QWEN_NUMBERS);
    assert_eq!(item(&all, "optimizer-state"), 2 * 24 * 8 * each * 4);
    assert_eq!(item(&all, "gradients"), 24 * 8 * each * 4);
    let some = lora(
        Lora::rank(8)
            .matrices(["q_proj", "self_attn.v_proj"])
            .last_layers(16),
    );
    assert_eq!(
        item(&some, "trained-weights"),
        16 * 8 * (2 * h + h + kv) * 4
    );
    // Not a part of a name.
    for names in [["proj"], ["attn.q_proj"], [""]] {
        assert_eq!(
            lora(Lora::rank(8).matrices(names)).problems[0].id,
            "lora-nothing"
        );
    }
    // Of all experts.
    let deepseek = model(DEEPSEEK);
    let all = of(
        &deepseek,
        Training::new(Optimizer::Adam).lora(Lora::rank(4).matrices(["down_proj"])),
    );
    let experts = 26 * (64 * (1408 + 2048) + (2816 + 2048)) + (10944 + 2048);
    assert_eq!(item(&all, "trained-weights"), 4 * experts * 4);
}

#[test]
fn adapters_of_quantised_matrices_are_as_wide_as_what_was_packed() {
    let folder = Folder::new();
    let path = "model.layers.0.self_attn.q_proj";
    let tensors = [
        tensor(&format!("{path}.weight"), "U32", &[896, 112], 896 * 112 * 4),
        matrix(&format!("{path}.scales"), 896, 14),
        matrix(&format!("{path}.biases"), 896, 14),
    ];
    folder.weights("model.safetensors", &tensors);
    let lora = || Training::new(Optimizer::Adam).lora(Lora::rank(8));
    let read = || Model::read(folder.path()).expect("it is there");
    assert_eq!(of(&read(), lora()).problems[0].id, "lora-width");
    folder.write(
        "config.json",
        config(
            "qwen2",
            json!({"quantization": {"bits": 4, "group_size": 64}}),
        ),
    );
    assert_eq!(
        item(&of(&read(), lora()), "trained-weights"),
        8 * (896 + 896) * 4
    );
    // All of it cannot be trained.
    let all = of(&read(), Training::new(Optimizer::Adam));
    assert_eq!(all.problems[0].id, "packed-weights");
    assert!(!all.is_known());
}

#[test]
fn what_is_no_number_with_a_gradient_is_not_trained() {
    let folder = Folder::new();
    let positions = tensor("position_ids", "I64", &[77], 77 * 8);
    folder.weights(
        "model.safetensors",
        &[half("a", 2), single("b", 1), positions],
    );
    let all = of(
        &Model::read(folder.path()).expect("it is there"),
        Training::new(Optimizer::Momentum),
    );
    assert_eq!(item(&all, "trained-weights"), 5 * MIB);
    assert_eq!(item(&all, "weights"), 77 * 8);
    assert!(all.problems.is_empty(), "{:?}", all.problems);
}
