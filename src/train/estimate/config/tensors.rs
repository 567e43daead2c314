//! The tensors of a network, from its configuration alone: for planning before anything was fetched.
//!
//! Names and shapes are those of the published checkpoints (Hugging Face's `transformers`, `modeling_*.py`). Checked
//! against the published totals: Qwen2.5-0.5B 494,032,768 numbers, Gemma-3-270M 268,098,176, DeepSeek-V2-Lite
//! 15,706,484,224.

use super::attention::{grouped, heads, layers};
use super::fields::{Fields, Wrong};
use crate::train::estimate::read::Tensor;

/// No network has more.
const MOST_TENSORS: usize = 1_000_000;

/// The tensors, or `None` for families whose tensors are not known here.
pub(super) fn of(
    family: &str,
    fields: &Fields<'_>,
    number: u64,
) -> Result<Option<Vec<Tensor>>, Wrong> {
    let kind = match family {
        "llama" | "mistral" | "ministral3" => Kind::default(),
        "qwen2" => Kind {
            biased: true,
            ..Kind::default()
        },
        "qwen3" | "qwen3_moe" => Kind {
            normed_heads: true,
            ..Kind::default()
        },
        "gemma3_text" => Kind {
            normed_heads: true,
            normed_outputs: true,
            tied: true,
            ..Kind::default()
        },
        "mixtral" | "deepseek_v2" | "deepseek_v3" => Kind::default(),
        _ => return Ok(None),
    };
    let mut network = Network::new(number);
    let (hidden, words) = (fields.size("hidden_size")?, fields.size("vocab_size")?);
    network.add("model.embed_tokens.weight", &[words, hidden]);
    for at in 0..layers(fields)? {
        network.layer = format!("model.layers.{at}.");
        match family {
            "deepseek_v2" | "deepseek_v3" => network.latent(fields, hidden)?,
            _ => network.attention(fields, hidden, &kind)?,
        }
        network.norms(hidden, &kind);
        match family {
            "mixtral" => network.mixtral(fields, hidden)?,
            "qwen3_moe" => network.qwen_experts(fields, hidden, at)?,
            "deepseek_v2" | "deepseek_v3" => {
                network.deepseek_experts(fields, hidden, at, family)?
            }
            _ => network.gated(
                "mlp",
                hidden,
                fields.size("intermediate_size")?,
                fields.flag("mlp_bias", false),
            ),
        }
        if network.tensors.len() > MOST_TENSORS {
            return Err("there are more tensors than any network has".to_owned());
        }
    }
    network.layer.clear();
    network.add("model.norm.weight", &[hidden]);
    if !fields.flag("tie_word_embeddings", kind.tied) {
        network.add("lm_head.weight", &[words, hidden]);
    }
    Ok(Some(network.tensors))
}

/// Where families that are alike differ.
#[derive(Default)]
struct Kind {
    /// Queries, keys and values have biases.
    biased: bool,
    /// Queries and keys are normalised by head.
    normed_heads: bool,
    /// Attention and feed-forward are normalised behind, too.
    normed_outputs: bool,
    /// The embedding is the last projection unless the configuration says otherwise.
    tied: bool,
}

struct Network {
    tensors: Vec<Tensor>,
    layer: String,
    number: u64,
}

impl Network {
    fn new(number: u64) -> Self {
        Self {
            tensors: Vec::new(),
            layer: String::new(),
            number,
        }
    }

    fn add(&mut self, name: &str, shape: &[u64]) {
        let mut tensor = Tensor {
            name: format!("{}{name}", self.layer),
            dtype: if self.number == 4 { "F32" } else { "BF16" }.to_owned(),
            shape: shape.to_vec(),
            bytes: 0,
        };
        tensor.bytes = tensor.numbers().saturating_mul(self.number);
        self.tensors.push(tensor);
    }

    fn linear(&mut self, name: &str, out: u64, of: u64, biased: bool) {
        self.add(&format!("{name}.weight"), &[out, of]);
        if biased {
            self.add(&format!("{name}.bias"), &[out]);
        }
    }

    fn attention(&mut self, fields: &Fields<'_>, hidden: u64, kind: &Kind) -> Result<(), Wrong> {
        let (heads, dim) = heads(fields)?;
        let [keys, values] = grouped(fields)?.sides;
        let all = fields.flag("attention_bias", false);
        let biased = kind.biased || all;
        let queries = heads.saturating_mul(dim);
        self.linear("self_attn.q_proj", queries, hidden, biased);
        self.linear("self_attn.k_proj", keys, hidden, biased);
        self.linear("self_attn.v_proj", values, hidden, biased);
        self.linear("self_attn.o_proj", hidden, queries, all);
        if kind.normed_heads {
            self.add("self_attn.q_norm.weight", &[dim]);
            self.add("self_attn.k_norm.weight", &[dim]);
        }
        Ok(())
    }

    fn latent(&mut self, fields: &Fields<'_>, hidden: u64) -> Result<(), Wrong> {
        let heads = fields.size("num_attention_heads")?;
        let (nope, rope) = (
            fields.size("qk_nope_head_dim")?,
            fields.size("qk_rope_head_dim")?,
        );
        let (value, rank) = (fields.size("v_head_dim")?, fields.size("kv_lora_rank")?);
        let queries = heads.saturating_mul(nope.saturating_add(rope));
        match fields.number("q_lora_rank")? {
            Some(rank) => {
                self.linear("self_attn.q_a_proj", rank, hidden, false);
                self.add("self_attn.q_a_layernorm.weight", &[rank]);
                self.linear("self_attn.q_b_proj", queries, rank, false);
            }
            None => self.linear("self_attn.q_proj", queries, hidden, false),
        }
        self.linear(
            "self_attn.kv_a_proj_with_mqa",
            rank.saturating_add(rope),
            hidden,
            false,
        );
        self.add("self_attn.kv_a_layernorm.weight", &[rank]);
        let expanded = heads.saturating_mul(nope.saturating_add(value));
        self.linear("self_attn.kv_b_proj", expanded, rank, false);
        self.linear(
            "self_attn.o_proj",
            hidden,
            heads.saturating_mul(value),
            false,
        );
        Ok(())
    }

    fn norms(&mut self, hidden: u64, kind: &Kind) {
        self.add("input_layernorm.weight", &[hidden]);
        self.add("post_attention_layernorm.weight", &[hidden]);
        if kind.normed_outputs {
            self.add("pre_feedforward_layernorm.weight", &[hidden]);
            self.add("post_feedforward_layernorm.weight", &[hidden]);
        }
    }

    fn gated(&mut self, name: &str, hidden: u64, inner: u64, biased: bool) {
        self.linear(&format!("{name}.gate_proj"), inner, hidden, biased);
        self.linear(&format!("{name}.up_proj"), inner, hidden, biased);
        self.linear(&format!("{name}.down_proj"), hidden, inner, biased);
    }

    /// The experts of a layer, one after another, up to the number of tensors that any network has.
    fn experts(&mut self, count: u64, mut one: impl FnMut(&mut Self, u64)) {
        let experts = count.min(MOST_TENSORS as u64);
        for at in 0..experts {
            one(self, at);
            if self.tensors.len() > MOST_TENSORS {
                return;
            }
        }
    }

    fn mixtral(&mut self, fields: &Fields<'_>, hidden: u64) -> Result<(), Wrong> {
        let (count, inner) = (
            fields.size("num_local_experts")?,
            fields.size("intermediate_size")?,
        );
        self.linear("block_sparse_moe.gate", count, hidden, false);
        self.experts(count, |network, at| {
            let name = format!("block_sparse_moe.experts.{at}");
            network.linear(&format!("{name}.w1"), inner, hidden, false);
            network.linear(&format!("{name}.w2"), hidden, inner, false);
            network.linear(&format!("{name}.w3"), inner, hidden, false);
        });
        Ok(())
    }

    fn qwen_experts(&mut self, fields: &Fields<'_>, hidden: u64, at: u64) -> Result<(), Wrong> {
        let dense = fields.numbers("mlp_only_layers")?.unwrap_or_default();
        let step = fields.size_or("decoder_sparse_step", 1)?;
        if dense.contains(&at) || !(at + 1).is_multiple_of(step) {
            self.gated("mlp", hidden, fields.size("intermediate_size")?, false);
            return Ok(());
        }
        let (count, inner) = (
            fields.size("num_experts")?,
            fields.size("moe_intermediate_size")?,
        );
        self.linear("mlp.gate", count, hidden, false);
        self.experts(count, |network, at| {
            network.gated(&format!("mlp.experts.{at}"), hidden, inner, false);
        });
        Ok(())
    }

    fn deepseek_experts(
        &mut self,
        fields: &Fields<'_>,
        hidden: u64,
        at: u64,
        family: &str,
    ) -> Result<(), Wrong> {
        let first = fields.number("first_k_dense_replace")?.unwrap_or(0);
        let every = fields.size_or("moe_layer_freq", 1)?;
        let count = fields.number("n_routed_experts")?;
        let Some(count) = count.filter(|_| at >= first && at.is_multiple_of(every)) else {
            self.gated("mlp", hidden, fields.size("intermediate_size")?, false);
            return Ok(());
        };
        let inner = fields.size("moe_intermediate_size")?;
        self.linear("mlp.gate", count, hidden, false);
        if family == "deepseek_v3" {
            self.add("mlp.gate.e_score_correction_bias", &[count]);
        }
        if let Some(shared) = fields.number("n_shared_experts")? {
            self.gated(
                "mlp.shared_experts",
                hidden,
                inner.saturating_mul(shared),
                false,
            );
        }
        self.experts(count, |network, at| {
            network.gated(&format!("mlp.experts.{at}"), hidden, inner, false);
        });
        Ok(())
    }
}
