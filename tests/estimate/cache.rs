//! The cache of keys and values, and what reading a prompt takes.

use crate::checkpoints::{half, single};
use crate::configs::{DEEPSEEK, GEMMA, QWEN, config, model};
use crate::item;
use crate::kit::Folder;
use mlx_wired::ffi::DeviceKind;
use mlx_wired::train::estimate::{Certainty, Estimate, Model, Workload, estimate};
use serde_json::json;

/// What a conversation of so many tokens takes.
fn of(text: &str, context: u64) -> Estimate {
    estimate(&Workload::new(model(text)).context(context))
}

#[test]
fn grouped_heads_in_steps_of_256_tokens() {
    // 24 layers, 2 heads of keys and values of 64 numbers, 16 bits.
    let token = 24 * 2 * 2 * 64 * 2;
    for (context, room) in [(1, 256), (256, 256), (257, 512), (4096, 4096), (5000, 5120)] {
        assert_eq!(item(&of(QWEN, context), "kv-cache"), room * token);
    }
    let batch = estimate(&Workload::new(model(QWEN)).context(256).batch(8));
    assert_eq!(item(&batch, "kv-cache"), 8 * 256 * token);
}

#[test]
fn as_many_heads_as_queries_where_nothing_else_is_said() {
    let dense = config("llama", json!({"num_key_value_heads": null}));
    assert_eq!(item(&of(&dense, 256), "kv-cache"), 256 * 4 * 2 * 8 * 64 * 2);
    let shared = json!({"n_embd": 512, "n_head": 8, "n_layer": 4, "vocab_size": 10});
    for (family, heads) in [("gpt2", 8), ("gpt_bigcode", 1)] {
        let mut all = shared.clone();
        all["model_type"] = family.into();
        assert_eq!(
            item(&of(&all.to_string(), 256), "kv-cache"),
            256 * 4 * 2 * heads * 64 * 2
        );
    }
    let wide = config("qwen3", json!({"head_dim": 128, "dtype": "float32"}));
    assert_eq!(item(&of(&wide, 256), "kv-cache"), 256 * 4 * 2 * 2 * 128 * 4);
}

#[test]
fn windows_bound_layers_and_hold_a_chunk_more_while_a_prompt_is_read() {
    let token = 2 * 256 * 2;
    let all = of(GEMMA, 8192);
    assert_eq!(item(&all, "kv-cache"), 3 * 8192 * token);
    assert_eq!(item(&all, "kv-windows"), 15 * 512 * token);
    assert_eq!(item(&all, "kv-chunk"), 15 * (511 + 2048 - 512) * token);
    // Shorter than a window: no more than there is.
    let short = of(GEMMA, 300);
    assert_eq!(item(&short, "kv-windows"), 15 * 512 * token);
    assert_eq!(item(&short, "kv-chunk"), 0);
    assert_eq!(item(&of(GEMMA, 200), "kv-windows"), 15 * 256 * token);
}

#[test]
fn windows_by_types_by_patterns_and_by_letters() {
    let sliding = json!({"sliding_window": 256});
    let counts = |family: &str, fields: serde_json::Value| {
        let mut all = sliding.clone();
        for (name, value) in fields.as_object().expect("an object") {
            all[name] = value.clone();
        }
        let all = of(&config(family, all), 1024);
        let token = 2 * 2 * 64 * 2;
        (
            item(&all, "kv-cache") / (1024 * token),
            item(&all, "kv-windows") / (256 * token),
        )
    };
    let types = [
        "sliding_attention",
        "full_attention",
        "sliding_attention",
        "sliding_attention",
    ];
    for family in [
        "llama",
        "ministral3",
        "gpt_oss",
        "olmo3",
        "cohere2",
        "exaone4",
    ] {
        assert_eq!(
            counts(family, json!({"layer_types": types})),
            (1, 3),
            "{family}"
        );
    }
    assert_eq!(counts("gpt_oss", json!({})), (2, 2));
    assert_eq!(counts("olmo3", json!({})), (1, 3));
    assert_eq!(
        counts("cohere2", json!({"sliding_window_pattern": 2})),
        (2, 2)
    );
    assert_eq!(counts("gemma3_text", json!({"head_dim": 64})), (0, 4));
    assert_eq!(
        counts("exaone4", json!({"sliding_window_pattern": "LLG"})),
        (1, 3)
    );
    assert_eq!(counts("exaone4", json!({})), (4, 0));
    // mlx-lm keeps all of it, whatever the network looks at.
    for family in ["mistral", "gemma2", "qwen2"] {
        assert_eq!(counts(family, json!({})), (4, 0), "{family}");
    }
}

#[test]
fn latents_as_mlx_lm_keeps_them() {
    // Expanded: 16 heads of 192 numbers of keys and 128 of values.
    assert_eq!(
        item(&of(DEEPSEEK, 4096), "kv-cache"),
        27 * 4096 * 16 * (192 + 128) * 2
    );
    let sizes = json!({"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
        "index_head_dim": 128});
    let token = (512 + 64) * 2;
    assert_eq!(
        item(&of(&config("deepseek_v3", sizes.clone()), 4096), "kv-cache"),
        4 * 4096 * token
    );
    let indexed = of(&config("deepseek_v32", sizes), 4096);
    assert_eq!(item(&indexed, "kv-cache"), 4 * 4096 * (token + 128 * 2));
}

#[test]
fn states_do_not_grow() {
    let delta = json!({"num_hidden_layers": 8, "head_dim": 64, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
        "linear_key_head_dim": 32, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4});
    for context in [1, 8192] {
        let all = of(&config("qwen3_next", delta.clone()), context);
        let state = 3 * (2 * 2 * 32 + 4 * 16) * 2 + 4 * 16 * 32 * 4;
        assert_eq!(item(&all, "state"), 6 * state);
        assert_eq!(
            item(&all, "kv-cache"),
            2 * context.next_multiple_of(256) * 2 * 2 * 64 * 2
        );
    }
    let short = json!({"conv_L_cache": 3, "full_attn_idxs": [1]});
    let all = of(&config("lfm2", short), 256);
    assert_eq!(
        (item(&all, "state"), item(&all, "kv-cache")),
        (3 * 2 * 512 * 2, 256 * 512)
    );
    let mamba = json!({"mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 16, "mamba_n_groups": 1,
        "mamba_d_conv": 4, "layer_types": ["mamba", "attention", "mamba", "mamba"]});
    let state = 3 * (32 + 32) * 2 + 4 * 8 * 16 * 4;
    assert_eq!(
        item(&of(&config("granitemoehybrid", mamba.clone()), 1), "state"),
        3 * state
    );
    let all = of(&config("falcon_h1", mamba), 1);
    assert_eq!(
        (item(&all, "state"), item(&all, "kv-cache")),
        (4 * state, 4 * 256 * 512)
    );
    let nemotron = json!({"mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 16, "n_groups": 1,
        "conv_kernel": 4, "hybrid_override_pattern": "M-M*-E"});
    let all = of(&config("nemotron_h", nemotron), 1);
    assert_eq!(
        (item(&all, "state"), item(&all, "kv-cache")),
        (2 * state, 256 * 512)
    );
    let jamba = json!({"mamba_expand": 2, "mamba_d_state": 16, "mamba_d_conv": 4, "attn_layer_period": 4,
        "attn_layer_offset": 2});
    let all = of(&config("jamba", jamba), 1);
    assert_eq!(item(&all, "state"), 3 * (3 * 1024 * 2 + 1024 * 16 * 4));
    // What its scan takes while a prompt is read is not known, and so nothing is said to go in.
    assert!(!all.is_known());
}

#[test]
fn a_quantised_cache_has_scales_and_biases() {
    let workload = Workload::new(model(QWEN)).context(4096);
    let side = |bits: u64| 64 * bits / 8 + 2 * 2;
    for bits in [4, 8] {
        let all = estimate(&workload.clone().quantised_cache(bits, 64));
        assert_eq!(item(&all, "kv-cache"), 24 * 4096 * 2 * 2 * side(bits));
        assert!(all.is_known());
    }
    for (bits, group, id) in [
        (3, 64, "kv-bits"),
        (8, 63, "kv-bits"),
        (8, 128, "kv-group"),
        (8, 0, "kv-bits"),
    ] {
        let all = estimate(&workload.clone().quantised_cache(bits, group));
        assert_eq!((all.problems[0].id, all.is_known()), (id, false));
    }
    // Layers with windows stay as they are.
    let gemma = Workload::new(model(GEMMA)).context(4096);
    let (plain, quantised) = (estimate(&gemma), estimate(&gemma.quantised_cache(8, 64)));
    assert_eq!(item(&plain, "kv-windows"), item(&quantised, "kv-windows"));
    assert!(item(&plain, "kv-cache") > item(&quantised, "kv-cache"));
    assert_eq!(quantised.problems[0].id, "kv-windows-not-quantised");
}

#[test]
fn models_with_pictures_have_their_text_below() {
    let token = 2 * 4 * 256 * 2;
    let text = json!({"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "sliding_window": 1024});
    // As Google publishes it, without heads.
    let all = of(
        &json!({"model_type": "gemma3", "text_config": text, "vision_config": {}}).to_string(),
        4096,
    );
    assert_eq!(item(&all, "kv-cache"), 5 * 4096 * token);
    assert_eq!(item(&all, "kv-windows"), 29 * 1024 * token);
    let inner: serde_json::Value = serde_json::from_str(QWEN).expect("it is JSON");
    let outer = json!({"model_type": "qwen2_5_vl", "text_config": inner});
    assert_eq!(
        item(&of(&outer.to_string(), 256), "kv-cache"),
        item(&of(QWEN, 256), "kv-cache")
    );
}

#[test]
fn layers_that_share_what_earlier_ones_keep() {
    let types = [
        "sliding_attention",
        "full_attention",
        "sliding_attention",
        "full_attention",
    ];
    let fields = json!({"layer_types": types, "sliding_window": 256, "num_kv_shared_layers": 2});
    let token = 2 * 2 * 64 * 2;
    for family in ["gemma3n_text", "gemma4_text"] {
        let all = of(&config(family, fields.clone()), 1024);
        let kept = (item(&all, "kv-cache"), item(&all, "kv-windows"));
        assert_eq!(kept, (1024 * token, 256 * token), "{family}");
    }
    let mut wide = fields;
    wide["global_head_dim"] = 128.into();
    wide["attention_k_eq_v"] = true.into();
    wide["num_global_key_value_heads"] = 1.into();
    assert_eq!(
        item(&of(&config("gemma4_text", wide), 1024), "kv-cache"),
        1024 * 2 * 128 * 2
    );
}

#[test]
fn the_cache_is_as_wide_as_the_weights_are_stored() {
    let folder = Folder::new();
    folder.write("config.json", QWEN);
    let cache = || {
        let model = Model::read(folder.path()).expect("it is there");
        item(&estimate(&Workload::new(model).context(256)), "kv-cache")
    };
    let narrow = 256 * 24 * 2 * 2 * 64 * 2;
    folder.weights("model.safetensors", &[half("up", 3), single("norm", 1)]);
    assert_eq!(cache(), narrow);
    folder.weights("model.safetensors", &[half("up", 1), single("norm", 3)]);
    assert_eq!(cache(), 2 * narrow);
}

#[test]
fn a_context_that_was_not_given_is_told() {
    let all = estimate(&Workload::new(model(QWEN)));
    assert_eq!(all.context, Some(8192));
    let cache = all
        .items
        .iter()
        .find(|item| item.id == "kv-cache")
        .expect("there is a cache");
    assert!(
        cache
            .formula
            .contains("no context was given: 8,192 tokens (config.json allows 32,768)"),
        "{}",
        cache.formula
    );
    let short = config("llama", json!({"max_position_embeddings": 2048}));
    assert_eq!(estimate(&Workload::new(model(&short))).context, Some(2048));
    let long = of(&short, 4096);
    assert_eq!(
        long.problems.last().map(|problem| problem.id),
        Some("long-context")
    );
    assert!(!of(QWEN, 4096).to_string().contains("no context was given"));
}

#[test]
fn without_a_configuration_the_weights_alone_are_known() {
    let folder = Folder::with("model.safetensors", &[half("up", 1)]);
    let workload = Workload::new(Model::read(folder.path()).expect("it is there"));
    let all = estimate(&workload);
    assert!(all.is_known());
    assert_eq!(all.problems[0].id, "weights-alone");
    // What was asked for is not left out in silence.
    for asked in [
        workload.clone().context(100),
        workload.clone().batch(2),
        workload.quantised_cache(8, 64),
    ] {
        let all = estimate(&asked);
        assert!(!all.is_known());
        assert_eq!(all.items[1].certainty, Certainty::Unknown);
    }
}

#[test]
fn encoders_keep_nothing() {
    let folder = Folder::with("model.safetensors", &[half("up", 1)]);
    folder.write("config.json", config("bert", json!({})));
    let all = estimate(&Workload::new(
        Model::read(folder.path()).expect("it is there"),
    ));
    assert!(all.is_known());
    assert_eq!(all.items.len(), 1);
}

#[test]
fn scores_are_kept_where_no_fused_kernel_is() {
    let all = |device| {
        let workload = Workload::new(model(QWEN)).context(4096).on(device);
        item(&estimate(&workload), "prefill")
    };
    let (b, chunk, logits) = (2, 2048, 151_936 * 4);
    assert_eq!(
        all(DeviceKind::Metal),
        chunk * (2 * 896 + 3 * 4864) * b + logits
    );
    let scores = 2 * 14 * chunk * 4096 * b + chunk * 4096;
    assert_eq!(
        all(DeviceKind::Cpu),
        chunk * (2 * 896 + 3 * 896 + 2 * 128) * b + scores + logits
    );
}

#[test]
fn a_cache_that_is_quantised_has_no_fused_kernel() {
    let workload = Workload::new(model(QWEN)).context(4096);
    let plain = item(&estimate(&workload), "prefill");
    let quantised = item(&estimate(&workload.quantised_cache(8, 64)), "prefill");
    let scores = 2 * 14 * 2048 * 4096 * 2;
    assert!(plain < scores && quantised > scores, "{plain} {quantised}");
}

#[test]
fn numbers_of_32_bits_have_no_fused_kernel_on_cuda() {
    let prefill = |dtype: &str, device| {
        let text = config("qwen3", json!({"dtype": dtype, "head_dim": 128}));
        let workload = Workload::new(model(&text)).context(4096).on(device);
        item(&estimate(&workload), "prefill")
    };
    let scores = 2 * 8 * 2048 * 4096;
    assert!(prefill("float32", DeviceKind::Cuda) > 4 * scores);
    assert!(prefill("float32", DeviceKind::Metal) < 4 * scores);
    assert!(prefill("bfloat16", DeviceKind::Cuda) < 2 * scores);
}

#[test]
fn scores_that_are_capped_have_no_fused_kernel() {
    let prefill = |family| {
        item(
            &of(&config(family, json!({"head_dim": 128})), 4096),
            "prefill",
        )
    };
    let scores = 2 * 8 * 2048 * 4096 * 2;
    assert!(prefill("gemma") < scores && prefill("gemma2") > scores);
}
