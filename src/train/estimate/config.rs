//! Reading a `config.json`: which family a model is of, and its measures.
//!
//! What a layer keeps is what mlx-lm keeps in it (release 0.32, `mlx_lm/models/*.py` and `cache.py`), which is not always
//! what the network needs: it keeps the whole context in all layers of Gemma 2 and Mistral, though half or all of them
//! look at a window only, and expanded keys and values for DeepSeek's second version. A family that is not in the table
//! here is unknown, and so is its cache.
//!
//! | file | what |
//! | --- | --- |
//! | `fields.rs` | checked access to fields |
//! | `attention.rs` | layers of attention |
//! | `state.rs` | recurrent and convolutional layers |
//! | `tensors.rs` | the tensors that a network of some families has |

mod attention;
mod fields;
mod state;
mod tensors;

use super::Problem;
use super::read::Tensor;
use super::shape::{Layer, Shape};
use fields::{Fields, Wrong, told};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What could be read of a configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    pub(super) shape: Option<Shape>,
    /// Bits and group of quantised weights.
    pub(super) quantised: Option<(u64, u64)>,
    /// It describes a network that keeps nothing between tokens: an encoder.
    pub(super) keeps_nothing: bool,
    pub(super) problems: Vec<Problem>,
}

/// Reads the text of a `config.json`.
pub(super) fn read(text: &[u8]) -> Config {
    let mut config = Config::default();
    let Ok(all) = serde_json::from_slice::<Map<String, Value>>(text) else {
        config.problems.push(Problem::error(
            "malformed-config",
            "config.json is no JSON object".to_owned(),
            "fetch it again: the cache of keys and values is not known without it",
        ));
        return config;
    };
    config.quantised = quantised(&Fields(&all));
    let (fields, name) = language(&all);
    let fields = Fields(&fields);
    let Some(name) = name else {
        config
            .problems
            .push(unknown("config.json names no `model_type`"));
        return config;
    };
    if ENCODERS.contains(&name) {
        config.keeps_nothing = true;
        return config;
    }
    let Some(family) = FAMILIES.iter().find(|family| family.names.contains(&name)) else {
        let text = format!(
            "config.json is of the family {}, which is not known here",
            told(name)
        );
        config.problems.push(unknown(&text));
        return config;
    };
    match shape(name, &fields, family) {
        Ok(shape) => config.shape = Some(shape),
        Err(wrong) => config.problems.push(Problem::error(
            "malformed-config",
            format!("config.json of the family {}: {wrong}", told(name)),
            "fetch it again: the cache of keys and values is not known without it",
        )),
    }
    config
}

/// The tensors of the network that the text of a `config.json` describes, for the families where they are known.
pub(super) fn tensors(text: &[u8]) -> Option<Vec<Tensor>> {
    let all = serde_json::from_slice::<Map<String, Value>>(text).ok()?;
    let (fields, name) = language(&all);
    let fields = Fields(&fields);
    tensors::of(name?, &fields, number(&fields).ok()?).ok()?
}

fn unknown(text: &str) -> Problem {
    Problem::error(
        "unknown-family",
        text.to_owned(),
        "measure a request: what its cache takes cannot be said",
    )
}

/// The configuration of the part that writes text, and the family it is of. A model with pictures has it one level
/// below, at times without its name.
fn language(all: &Map<String, Value>) -> (Cow<'_, Map<String, Value>>, Option<&str>) {
    let outer = Fields(all).text("model_type");
    let inner = ["text_config", "language_config", "llm_config"];
    let inner = inner.iter().find_map(|name| all.get(*name)?.as_object());
    let Some(inner) = inner else {
        return (Cow::Borrowed(all), outer.map(without_pictures));
    };
    let name = Fields(inner)
        .text("model_type")
        .or(outer)
        .map(without_pictures);
    // Gemma's own files leave out what mlx-lm and transformers have as defaults.
    let defaults: &[(&str, u64)] = match name {
        Some("gemma3_text") => &[
            ("num_attention_heads", 8),
            ("num_key_value_heads", 4),
            ("head_dim", 256),
        ],
        Some("gemma4_text") => &[
            ("num_attention_heads", 8),
            ("num_key_value_heads", 1),
            ("head_dim", 256),
            ("global_head_dim", 512),
            ("num_kv_shared_layers", 20),
            ("sliding_window", 512),
        ],
        _ => return (Cow::Borrowed(inner), name),
    };
    let mut inner = inner.clone();
    for (field, default) in defaults {
        inner.entry(*field).or_insert((*default).into());
    }
    inner.entry("vocab_size").or_insert(262_208.into());
    (Cow::Owned(inner), name)
}

fn without_pictures(name: &str) -> &str {
    match name {
        "gemma3" => "gemma3_text",
        "gemma3n" => "gemma3n_text",
        "gemma4" | "gemma4_unified" => "gemma4_text",
        "mistral3" | "llava" => "mistral",
        "pixtral" => "llama",
        "qwen2_vl" | "qwen2_5_vl" => "qwen2",
        "qwen3_vl" => "qwen3",
        "qwen3_vl_moe" => "qwen3_moe",
        "kimi_vl" | "kimi_k25" => "deepseek_v3",
        "lfm2-vl" | "lfm2_vl" => "lfm2",
        other => other,
    }
}

/// Bits and group, as mlx-lm writes them.
fn quantised(all: &Fields<'_>) -> Option<(u64, u64)> {
    let found = all
        .object("quantization")
        .or_else(|| all.object("quantization_config"))?;
    let bits = found.number("bits").ok()??;
    let group = found.number("group_size").ok()??;
    ((1..=8).contains(&bits) && group > 0).then_some((bits, group))
}

type Layers = fn(&Fields<'_>) -> Result<Vec<Layer>, Wrong>;

/// Families whose layers are read in the same way.
struct Family {
    names: &'static [&'static str],
    layers: Layers,
}

/// Encoders, which keep no keys and values.
const ENCODERS: [&str; 7] = [
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "modernbert",
    "mpnet",
    "nomic_bert",
];

const FAMILIES: [Family; 20] = [
    Family {
        names: &[
            "qwen2",
            "qwen2_moe",
            "qwen3",
            "qwen3_moe",
            "qwen3_text",
            "qwen3_vl_text",
            "qwen2_vl_text",
            "qwen2_5_vl_text",
            "qwen3_vl_moe_text",
            "gemma",
            "gemma2",
            "mixtral",
            "phi",
            "phi3",
            "phimoe",
            "starcoder2",
            "cohere",
            "granite",
            "granitemoe",
            "olmo2",
            "olmoe",
            "internlm2",
            "internlm3",
            "stablelm",
            "glm",
            "glm4",
            "glm4_moe",
            "seed_oss",
            "ernie4_5",
            "helium",
            "exaone",
            "nemotron",
            "dots1",
            "apertus",
            "bitnet",
            "mimo",
            "minicpm",
            "gpt_neox",
            "hunyuan_v1_dense",
            "telechat3",
        ],
        layers: attention::full,
    },
    Family {
        names: &["llama", "mistral", "ministral3", "smollm3", "iquestcoder"],
        layers: |fields| match fields.words("layer_types")? {
            Some(types) => attention::by_types(fields, &types),
            None => attention::full(fields),
        },
    },
    Family {
        names: &["gemma3_text"],
        layers: |fields| {
            let n = fields.size_or("sliding_window_pattern", 6)?;
            attention::every(fields, n)
        },
    },
    Family {
        names: &["gemma3n_text", "gemma4_text"],
        layers: attention::shared,
    },
    Family {
        names: &["cohere2"],
        layers: |fields| {
            let n = fields.size_or("sliding_window_pattern", 4)?;
            attention::every(fields, n)
        },
    },
    Family {
        names: &["gpt_oss"],
        layers: |fields| attention::every(fields, 2),
    },
    Family {
        names: &["olmo3"],
        layers: |fields| attention::every(fields, 4),
    },
    Family {
        names: &["exaone4"],
        layers: attention::by_letters,
    },
    Family {
        names: &["deepseek_v2", "minicpm3", "youtu_llm"],
        layers: attention::expanded,
    },
    Family {
        names: &["deepseek_v3", "kimi_k2", "joyai_llm_flash", "glm4_moe_lite"],
        layers: attention::latent,
    },
    Family {
        names: &["deepseek_v32", "glm_moe_dsa"],
        layers: attention::indexed,
    },
    Family {
        names: &["gpt2"],
        layers: |fields| attention::learned(fields, false),
    },
    Family {
        names: &["gpt_bigcode"],
        layers: |fields| attention::learned(fields, fields.flag("multi_query", true)),
    },
    Family {
        names: &[
            "qwen3_next",
            "qwen3_5",
            "qwen3_5_text",
            "qwen3_5_moe",
            "qwen3_5_moe_text",
        ],
        layers: state::gated_delta,
    },
    Family {
        names: &["lfm2", "lfm2_moe"],
        layers: state::short_convolution,
    },
    Family {
        names: &["granitemoehybrid"],
        layers: state::granite,
    },
    Family {
        names: &["falcon_h1"],
        layers: state::falcon,
    },
    Family {
        names: &["nemotron_h"],
        layers: state::nemotron,
    },
    Family {
        names: &["mamba", "falcon_mamba"],
        layers: state::mamba,
    },
    Family {
        names: &["jamba"],
        layers: state::jamba,
    },
];

fn shape(name: &str, fields: &Fields<'_>, family: &Family) -> Result<Shape, Wrong> {
    let layers = (family.layers)(fields)?;
    let hidden = fields
        .size("hidden_size")
        .or_else(|wrong| fields.size("n_embd").map_err(|_| wrong))?;
    let has_attention = layers
        .iter()
        .any(|layer| !matches!(layer, Layer::State { .. } | Layer::Nothing));
    let (heads, dim) = match has_attention {
        true => attention::heads_of_any(fields, hidden)?,
        false => (0, 0),
    };
    let is_latent = fields.number("kv_lora_rank")?.is_some();
    let longest = [
        "max_position_embeddings",
        "n_positions",
        "n_ctx",
        "max_seq_len",
    ];
    let longest = longest
        .iter()
        .find_map(|name| fields.number(name).ok().flatten());
    Ok(Shape {
        family: told(name),
        hidden,
        attention: heads.saturating_mul(dim),
        inner: inner(fields, hidden)?,
        heads,
        vocabulary: fields.size_or("vocab_size", 1)?,
        longest: longest.filter(|longest| *longest > 0),
        number: number(fields)?,
        // The head widths of MLX's fused kernel for many queries at once. Gemma 2 caps its scores, so it computes them.
        is_fused: !is_latent && name != "gemma2" && matches!(dim, 64 | 80 | 128),
        scans: matches!(name, "jamba" | "mamba" | "falcon_mamba"),
        layers,
    })
}

/// The width inside a feed-forward layer, over all experts that a token goes to.
fn inner(fields: &Fields<'_>, hidden: u64) -> Result<u64, Wrong> {
    let dense = match fields.number("intermediate_size")? {
        Some(inner) => inner,
        None => fields.size_or("n_inner", hidden.saturating_mul(4))?,
    };
    let each = fields.number("moe_intermediate_size")?;
    let experts = fields.number("num_experts_per_tok")?.unwrap_or(0);
    let shared = fields.number("n_shared_experts")?.unwrap_or(0);
    let experts = experts
        .saturating_add(shared)
        .saturating_mul(each.unwrap_or(dense));
    Ok(dense.max(experts))
}

/// Bytes of a number in the computation.
fn number(fields: &Fields<'_>) -> Result<u64, Wrong> {
    let name = fields.text("dtype").or_else(|| fields.text("torch_dtype"));
    match name {
        None | Some("bfloat16" | "float16" | "auto") => Ok(2),
        Some("float32") => Ok(4),
        Some(other) => Err(format!("the type of its numbers is {}", told(other))),
    }
}
