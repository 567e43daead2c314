//! The network: embedding, blocks, and the embedding again. Its weights are a plain list of arrays.

use crate::block::{self, block};
use mlx_rs::Array;
use mlx_rs::builder::Builder;
use mlx_rs::error::Exception;
use mlx_rs::fast::rms_norm;
use mlx_rs::losses::{CrossEntropyBuilder, LossReduction};
use mlx_rs::random::{key, normal};
use mlx_rs::transforms::eval;

/// A network's size. Numbers alone: a block captures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) blocks: usize,
    pub(crate) width: i32,
    pub(crate) inner: i32,
    pub(crate) heads: i32,
    /// The letters that it sees at once.
    pub(crate) context: usize,
    /// How many different letters there are.
    pub(crate) alphabet: usize,
}

/// How a block is run, by its number: plainly, or so that the backward pass computes it again.
pub(crate) type RunBlock<'a> =
    &'a dyn Fn(usize, &[Array], &[Array]) -> Result<Vec<Array>, Exception>;

impl Size {
    /// What such a network's `config.json` says: it is a small Llama.
    pub(crate) fn config(&self) -> String {
        serde_json::json!({
            "model_type": "llama",
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.blocks,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "max_position_embeddings": self.context,
            "vocab_size": self.alphabet,
            "tie_word_embeddings": true,
            "torch_dtype": "float32",
        })
        .to_string()
    }

    /// How many arrays its weights are.
    pub(crate) fn arrays(&self) -> usize {
        2 + self.blocks * block::WEIGHTS
    }

    /// New weights, the same for the same seed, evaluated: the embedding, [`block::WEIGHTS`] for each block, and the last
    /// norm.
    pub(crate) fn weights(&self, seed: u64) -> Result<Vec<Array>, Exception> {
        let (width, inner) = (self.width, self.inner);
        let mut seeds = seed..;
        let mut matrix = |rows: i32, columns: i32, scale: f32| {
            let key = key(seeds.next().unwrap_or(seed))?;
            normal::<f32>(&[rows, columns], 0.0, scale, &key)
        };
        let scale = (width as f32).sqrt().recip();
        // What is added in each block is smaller where there are more of them.
        let added = scale / (2.0 * self.blocks as f32).sqrt();
        let mut weights = vec![matrix(self.alphabet as i32, width, scale)?];
        for _ in 0..self.blocks {
            weights.extend([
                Array::ones::<f32>(&[width])?,
                matrix(width, 3 * width, scale)?,
                matrix(width, width, added)?,
                Array::ones::<f32>(&[width])?,
                matrix(width, 2 * inner, scale)?,
                matrix(inner, width, added)?,
            ]);
        }
        weights.push(Array::ones::<f32>(&[width])?);
        eval(&weights)?;
        Ok(weights)
    }

    /// For each letter of each row, how likely each letter is to be the next. With keys, one for each block, some of what
    /// the blocks compute is dropped.
    pub(crate) fn logits(
        &self,
        weights: &[Array],
        letters: &Array,
        keys: Option<&[Array]>,
        run: RunBlock,
    ) -> Result<Array, Exception> {
        let [embedding, blocks @ .., norm] = weights else {
            return Err("weights of a network".into());
        };
        let mut x = embedding.take_axis(letters, 0)?;
        for (number, weights) in blocks.chunks_exact(block::WEIGHTS).enumerate() {
            let mut primals = vec![x];
            primals.extend_from_slice(weights);
            let constants = keys.map_or(&[][..], |keys| &keys[number..=number]);
            x = run(number, &primals, constants)?.remove(0);
        }
        rms_norm(&x, Some(norm), block::EPSILON)?.matmul(embedding.transpose()?)
    }

    /// The plain way to run a block.
    pub(crate) fn plainly(
        self,
    ) -> impl Fn(usize, &[Array], &[Array]) -> Result<Vec<Array>, Exception> {
        move |_, primals, constants| block(self, primals, constants)
    }
}

/// The sum of the cross-entropies of all letters.
pub(crate) fn loss(logits: &Array, targets: &Array) -> Result<Array, Exception> {
    CrossEntropyBuilder::new()
        .reduction(LossReduction::Sum)
        .build()
        .map_err(|error| Exception::custom(error.to_string()))?
        .apply(logits, targets)
}

/// What the arrays take, in bytes.
pub(crate) fn bytes<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> u64 {
    arrays.into_iter().map(|array| array.nbytes() as u64).sum()
}
