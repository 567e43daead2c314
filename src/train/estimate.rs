//! What a model needs, before it is loaded: weights from its files, the rest by formulas.
//!
//! [`Model::read`] looks at a folder's headers, [`Workload`] says what is done with the model, [`estimate()`] adds up
//! what exactly that takes, and [`plan()`] says whether it fits into a budget, and what would.
//!
//! ```
//! use mlx_wired::train::estimate::{Model, Verdict, Workload, plan};
//!
//! let config = r#"{"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864,
//!     "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
//!     "max_position_embeddings": 32768, "vocab_size": 151936, "tie_word_embeddings": true,
//!     "torch_dtype": "bfloat16"}"#;
//! let serving = Workload::new(Model::from_config(config)).context(4_096).batch(8);
//! let plan = plan(4 << 30, &serving);
//! assert_eq!(plan.verdict, Verdict::Fits);
//! // Weights: 494,032,768 numbers of 16 bits. Keys and values: 8 x 24 layers x 4,096 tokens x 512 bytes.
//! assert_eq!(plan.estimate.held(), 988_065_536);
//! assert_eq!(plan.estimate.items[1].bytes, 402_653_184);
//! ```
//!
//! # The formulas
//!
//! Of text that is generated, for `b` sequences of `n` tokens. Numbers are as wide as the weights are
//! stored, or as `config.json` states where they are not here yet.
//!
//! | item | formula | certainty |
//! | --- | --- | --- |
//! | `weights` | sum of the tensors' bytes, by the offsets in the files' headers | exact |
//! | `kv-cache` | `b` x layers x `n` rounded up to 256 x (keys + values of a token). Grouped heads: 2 x `num_key_value_heads` x `head_dim`; latent attention: `kv_lora_rank` + `qk_rope_head_dim` where latents are kept (DeepSeek 3), all heads' keys and values where they are expanded first (DeepSeek 2 in mlx-lm). Quantised: `bits` a number, and a scale and a bias for each group | exact |
//! | `kv-windows` | the same with at most the window's tokens, for layers that mlx-lm bounds so | exact |
//! | `kv-chunk` | while a prompt is read in chunks a window's layer holds the window less one and a chunk | exact |
//! | `state` | recurrent layers, whatever `n` is: the last inputs of a convolution and the state, which has 32 bits | estimated: a slice may hold what it was cut from |
//! | `prefill` | the larger of a layer's two halves for a chunk: 2 x hidden + 3 x inner, or 2 x hidden + 3 x queries + keys and values, and without a fused kernel 2 x heads x chunk x `n` scores | estimated |
//!
//! One prompt and its answer are meant: a conversation that goes on in turns may leave up to 255 tokens of room more in
//! each layer. Weights are counted as they are stored: what a loader leaves out, a tower for pictures say, or converts is
//! not known. The cache that MLX keeps of freed buffers is not counted: it gives way.
//!
//! Of training, for `p` parameters that are trained:
//!
//! | item | formula | certainty |
//! | --- | --- | --- |
//! | `weights`, `trained-weights` | what is not trained as in the files; 4 x `p`, since mlx-rs makes 32 bits of 16 in the first update, or as in the files where the program [sees to it](Precision) | exact |
//! | `optimizer-state` | 0, 4 x `p` with momentum, 8 x `p` for Adam and AdamW | exact |
//! | `master-weights` | 4 x `p` | exact |
//! | `gradients`, `accumulation` | as wide as what is trained; a further copy where several passes are added up | exact |
//! | `update` | new weights and new state beside the old ones, where all are evaluated in one go: 4 x `p` x (1 + copies in the state), and what is cast to 16 bits | at most |
//! | `activations` | none: measure a step, and say so with [`Training::measured`] | unknown |
//!
//! `p` of [adapters](Lora): rank x (rows + columns) for each matrix.
//!
//! # Sources
//!
//! mlx-lm 0.32 (`models/*.py`, `tuner/lora.py`), MLX (`io/safetensors.cpp`, `fast.cpp`), mlx-rs 0.33
//! (`optimizers/*.rs`). Other programs keep other caches: one that stores the latents of DeepSeek 2 needs far less than
//! is said here.

mod bounds;
mod config;
mod item;
mod kv;
mod lora;
mod model;
mod needs;
mod plan;
mod prefill;
mod problem;
mod read;
mod shape;
mod thousands;
mod training;
mod workload;

pub use bounds::{DEFAULT_CONTEXT, MIN_CHUNK, MIN_CONTEXT};
pub use item::{Certainty, Estimate, Item};
pub use lora::Lora;
pub use model::{Model, OfType, Weights};
pub use plan::{Change, Largest, Plan, Verdict, plan};
pub use problem::{Problem, Severity};
pub use shape::{Layer, Shape, Width};
pub use training::{Optimizer, Precision, StepCost, Training};
pub use workload::{Quantised, Workload};

pub use super::Knob;

/// What exactly this workload takes. Settings that are [`Auto`](Knob::Auto) have their defaults: to have them chosen
/// for a budget is what [`plan()`] is for.
pub fn estimate(workload: &Workload) -> Estimate {
    let needs = needs::Needs::of(workload);
    needs.at(needs.begin())
}
