//! The cache of keys and values, filled as mlx-lm fills it: a prompt in chunks, then token by token.

use crate::{Alone, DEEPSEEK, GEMMA, QWEN, evaluate, items, within};
use mlx_rs::ops::indexing::{Ellipsis, IndexOp, TryIndexMutOp};
use mlx_rs::{Array, Dtype};
use mlx_wired::train::estimate::{Estimate, Model, Workload, estimate};

const CHUNK: i32 = 2048;
const STEP: i32 = 256;
const PROMPT: i32 = 4990;
const ANSWER: i32 = 10;

fn zeros(shape: &[i32]) -> Array {
    mlx_rs::ops::zeros_dtype(shape, Dtype::Bfloat16).expect("it can be made")
}

fn concatenate(arrays: &[&Array]) -> Array {
    mlx_rs::ops::concatenate(arrays, 2).expect("they can be joined")
}

/// The last tokens of it, from this one on.
fn from(array: &Array, token: i32) -> Array {
    array.index((Ellipsis, token.., ..))
}

/// Of keys or values of one layer.
enum Cache {
    /// `KVCache`.
    Full { kept: Option<Array>, offset: i32 },
    /// `RotatingKVCache` with `keep=0`.
    Window {
        kept: Option<Array>,
        offset: i32,
        at: i32,
        most: i32,
    },
}

impl Cache {
    fn full() -> Self {
        Self::Full {
            kept: None,
            offset: 0,
        }
    }

    fn window(most: i32) -> Self {
        Self::Window {
            kept: None,
            offset: 0,
            at: 0,
            most,
        }
    }

    fn kept(&self) -> &Array {
        let (Self::Full { kept, .. } | Self::Window { kept, .. }) = self;
        kept.as_ref().expect("something was added")
    }

    fn add(&mut self, new: Array) {
        let tokens = new.shape()[2];
        match self {
            Self::Full { kept, offset } => {
                let room = kept.as_ref().map_or(0, |kept| kept.shape()[2]);
                if *offset + tokens > room {
                    let mut shape = new.shape().to_vec();
                    shape[2] = (STEP + tokens - 1) / STEP * STEP;
                    let more = zeros(&shape);
                    *kept = Some(match kept.take() {
                        None => more,
                        Some(old) if *offset % STEP != 0 => {
                            concatenate(&[&old.index((Ellipsis, ..*offset, ..)), &more])
                        }
                        Some(old) => concatenate(&[&old, &more]),
                    });
                }
                let kept = kept.as_mut().expect("there is room");
                let end = *offset + tokens;
                kept.try_index_mut((Ellipsis, *offset..end, ..), &new)
                    .expect("there is room");
                *offset = end;
            }
            Self::Window {
                kept,
                offset,
                at,
                most,
            } => {
                if tokens > 1 {
                    *kept = Some(match kept.take() {
                        None => new,
                        Some(old) => {
                            let trim = old.shape()[2] - *most + 1;
                            let old = if trim > 0 { from(&old, trim) } else { old };
                            concatenate(&[&old, &new])
                        }
                    });
                    *offset += tokens;
                    *at = kept.as_ref().expect("it was set").shape()[2];
                } else {
                    let old = kept.take().expect("a prompt came first");
                    let room = old.shape()[2];
                    let mut all = old;
                    if *offset >= room && room < *most {
                        let mut shape = new.shape().to_vec();
                        shape[2] = STEP.min(*most - *offset);
                        all = concatenate(&[&all, &zeros(&shape)]);
                        *at = *offset;
                    }
                    let trim = all.shape()[2] - *most;
                    if trim > 0 {
                        all = concatenate(&[&from(&all, trim)]);
                        *at = *most;
                    }
                    if *at == *most {
                        *at = 0;
                    }
                    all.try_index_mut((Ellipsis, *at..*at + 1, ..), &new)
                        .expect("there is room");
                    *kept = Some(all);
                    *offset += 1;
                    *at += 1;
                }
            }
        }
    }
}

/// Keys or values of one layer: how many heads, and how wide each is.
#[derive(Clone, Copy)]
struct Side {
    heads: i32,
    dim: i32,
}

impl Side {
    /// Of so many tokens, laid out as a projection leaves them.
    fn of(self, batch: i32, tokens: i32) -> Array {
        let shape = [batch, tokens, self.heads * self.dim];
        let all = mlx_rs::ops::ones_dtype(&shape, Dtype::Bfloat16).expect("it can be made");
        let all = all
            .reshape(&[batch, tokens, self.heads, self.dim])
            .expect("the sizes agree");
        all.transpose_axes(&[0, 2, 1, 3])
            .expect("it has four sides")
    }
}

/// Fills the caches; what is alive beside them after the prompt and at the end.
fn fill(alone: &mut Alone, sides: [Side; 2], mut layers: Vec<[Cache; 2]>, batch: i32) -> [u64; 2] {
    alone.forget();
    let mut read = |tokens: i32| {
        for layer in &mut layers {
            for (cache, side) in layer.iter_mut().zip(sides) {
                cache.add(side.of(batch, tokens));
            }
        }
        evaluate(layers.iter().flatten().map(Cache::kept));
    };
    let mut left = PROMPT;
    while left > 0 {
        read(left.min(CHUNK));
        left -= CHUNK;
    }
    let prompt = alone.active();
    for _ in 0..ANSWER {
        read(1);
    }
    [prompt, alone.active()]
}

fn of(text: &str, batch: u64) -> Estimate {
    let context = (PROMPT + ANSWER) as u64;
    estimate(
        &Workload::new(Model::from_config(text))
            .context(context)
            .batch(batch),
    )
}

#[test]
fn qwen_keeps_grouped_heads() {
    let mut alone = Alone::new();
    let sides = [Side { heads: 2, dim: 64 }; 2];
    let layers = (0..24).map(|_| [Cache::full(), Cache::full()]).collect();
    let [_, end] = fill(&mut alone, sides, layers, 4);
    let estimate = items(&of(QWEN, 4), &["kv-cache"]);
    within(
        "Qwen2.5-0.5B, 4 x 5,000 tokens: keys and values",
        estimate,
        end,
    );
}

#[test]
fn gemma_keeps_windows() {
    let mut alone = Alone::new();
    let sides = [Side { heads: 1, dim: 256 }; 2];
    let layer = |n: usize| match (n + 1) % 6 {
        0 => [Cache::full(), Cache::full()],
        _ => [Cache::window(512), Cache::window(512)],
    };
    let [prompt, end] = fill(&mut alone, sides, (0..18).map(layer).collect(), 4);
    let all = of(GEMMA, 4);
    within(
        "Gemma-3-270M, 4 x 5,000 tokens: keys and values",
        items(&all, &["kv-cache", "kv-windows"]),
        end,
    );
    // The last chunk of the prompt has 894 tokens; a full one is estimated.
    let chunk = items(&all, &["kv-cache", "kv-windows", "kv-chunk"]);
    assert!(chunk >= prompt, "{chunk} estimated, {prompt} measured");
}

#[test]
fn deepseek_keeps_expanded_latents() {
    let mut alone = Alone::new();
    // As the second version's `kv_b_proj` expands the latents, and 64 numbers of positions beside the keys.
    let sides = [192, 128].map(|dim| Side { heads: 16, dim });
    let layers = (0..27).map(|_| [Cache::full(), Cache::full()]).collect();
    let [_, end] = fill(&mut alone, sides, layers, 1);
    within(
        "DeepSeek-V2-Lite, 5,000 tokens: keys and values",
        items(&of(DEEPSEEK, 1), &["kv-cache"]),
        end,
    );
}
