//! A handle that a model keeps: which of its blocks are recomputed, and running them.

use super::Recompute;
use super::module::Run;
use super::ordered::{Function, check_primals, is_off, kept, recomputing};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::module::ModuleParameters;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Says which blocks of a model are recomputed in the backward pass, and runs them.
///
/// Clones are the same handle: give one to the model, and keep one to switch between steps, from any thread. A switch
/// in the middle of a step harms nothing, as each block is right by itself. A block that keeps its activations is held to
/// the same rules as one that recomputes, so a switch makes no working program fail.
///
/// **A compiled function does what it was told when it was traced.** To switch it, compile it again;
/// [`traced`](Self::traced) tells what the blocks really do.
///
/// ```
/// use mlx_rs::{Array, array, error::Exception};
/// use mlx_wired::train::checkpoint::{Checkpointing, Recompute, value_and_grad};
///
/// // A block: all that has a gradient is among the primals, weights too.
/// fn block(primals: &[Array], _constants: &[Array]) -> Result<Vec<Array>, Exception> {
///     let [x, weight] = primals else {
///         return Err("a block takes two primals".into());
///     };
///     Ok(vec![mlx_rs::ops::tanh(x.matmul(weight)?)?])
/// }
///
/// let blocks = Checkpointing::new(Recompute::All);
/// let loss = |weights: &[Array]| {
///     let mut x = array!([[1.0_f32, 2.0]]);
///     for (index, weight) in weights.iter().enumerate() {
///         x = blocks.block(index, block, &[x, weight.clone()], &[])?.remove(0);
///     }
///     Ok::<_, Exception>(vec![x.sum(None)?])
/// };
/// let weights = [array!([[0.1_f32, 0.2], [0.3, 0.4]]), array!([[0.5_f32, 0.6], [0.7, 0.8]])];
/// let (values, gradients) = value_and_grad(loss, &[0, 1])(&weights)?;
/// assert_eq!((values.len(), gradients.len()), (1, 2));
///
/// blocks.set(Recompute::First(1)); // from the next step on
/// # Ok::<(), Exception>(())
/// ```
#[derive(Clone, Default)]
pub struct Checkpointing {
    shared: Arc<Shared>,
}

/// Settings, as how many blocks from the first are recomputed. They are numbers alone, and publish nothing else.
#[derive(Default)]
struct Shared {
    wanted: AtomicUsize,
    /// Under which a block was traced last, one higher; 0 if none was.
    traced: AtomicUsize,
}

/// All blocks.
const ALL: usize = usize::MAX - 1;

fn encoded(recompute: Recompute) -> usize {
    match recompute {
        Recompute::None => 0,
        Recompute::First(count) => count.min(ALL),
        Recompute::All => ALL,
    }
}

fn decoded(blocks: usize) -> Recompute {
    match blocks {
        0 => Recompute::None,
        ALL => Recompute::All,
        count => Recompute::First(count),
    }
}

impl Checkpointing {
    /// A handle that begins with this setting.
    #[must_use]
    pub fn new(recompute: Recompute) -> Self {
        let new = Self::default();
        new.set(recompute);
        new
    }

    /// Changes the setting, of all clones, for blocks that run from now on.
    pub fn set(&self, recompute: Recompute) {
        let blocks = encoded(recompute);
        self.shared.wanted.store(blocks, Ordering::Relaxed);
    }

    /// The setting. `First(0)` is `None`.
    #[must_use]
    pub fn get(&self) -> Recompute {
        decoded(self.shared.wanted.load(Ordering::Relaxed))
    }

    /// The setting under which a block was last traced, or nothing if none was yet.
    ///
    /// It differs from [`get`](Self::get) until the next step has begun. If it still does after a step, that step ran a
    /// compiled function, which runs no block of its own again.
    #[must_use]
    pub fn traced(&self) -> Option<Recompute> {
        let traced = self.shared.traced.load(Ordering::Relaxed);
        traced.checked_sub(1).map(decoded)
    }

    /// Runs the block of this number, counted from 0 at the input: `f(primals, constants)`.
    ///
    /// All that needs a gradient is a primal: what comes from the block before, and the block's weights. What needs none is
    /// a constant: masks, token ids, frozen weights, and the key of a dropout, which must be the same when the block is
    /// recomputed.
    ///
    /// `f` is a function, or a closure that captures numbers. A closure that captures an array does not compile, since
    /// that array would get no gradient:
    ///
    /// ```compile_fail
    /// # use mlx_rs::{Array, array, error::Exception};
    /// # use mlx_wired::train::checkpoint::{Checkpointing, Recompute};
    /// # let (blocks, x) = (Checkpointing::new(Recompute::All), array!([[1.0_f32]]));
    /// let weight = array!([[0.5_f32]]);
    /// blocks.block(0, move |p, _| Ok(vec![p[0].matmul(&weight)?]), &[x], &[])?;
    /// # Ok::<(), Exception>(())
    /// ```
    ///
    /// Nor does one that borrows it, or one that was leaked:
    ///
    /// ```compile_fail
    /// # use mlx_rs::{Array, array, error::Exception};
    /// # use mlx_wired::train::checkpoint::{Checkpointing, Recompute};
    /// # let (blocks, x) = (Checkpointing::new(Recompute::All), array!([[1.0_f32]]));
    /// # let weight = array!([[0.5_f32]]);
    /// blocks.block(0, |p, _| Ok(vec![p[0].matmul(&weight)?]), &[x], &[])?;
    /// # Ok::<(), Exception>(())
    /// ```
    ///
    /// ```compile_fail
    /// # use mlx_rs::{Array, array, error::Exception};
    /// # use mlx_wired::train::checkpoint::{Checkpointing, Recompute};
    /// # let (blocks, x) = (Checkpointing::new(Recompute::All), array!([[1.0_f32]]));
    /// let weight: &'static Array = Box::leak(Box::new(array!([[0.5_f32]])));
    /// blocks.block(0, move |p, _| Ok(vec![p[0].matmul(weight)?]), &[x], &[])?;
    /// # Ok::<(), Exception>(())
    /// ```
    ///
    /// This does:
    ///
    /// ```
    /// # use mlx_rs::{Array, array, error::Exception};
    /// # use mlx_wired::train::checkpoint::{Checkpointing, Recompute};
    /// # let (blocks, x) = (Checkpointing::new(Recompute::All), array!([[1.0_f32]]));
    /// let (weight, power) = (array!([[0.5_f32]]), 2_i32);
    /// blocks.block(0, move |p, _| Ok(vec![p[0].matmul(&p[1])?.power(Array::from_int(power))?]), &[x, weight], &[])?;
    /// # Ok::<(), Exception>(())
    /// ```
    ///
    /// What is left is an array in a `static`, in a thread-local or behind a lock that was leaked. It gets no gradient
    /// either, and only an array that does without may stand there.
    ///
    /// # Errors
    ///
    /// What `f` failed with; a panic in it is an error, too. No primals, a primal of integers, or no outputs. What goes
    /// wrong in the backward pass is the error of the kit's [`value_and_grad`](super::value_and_grad): among it a gradient
    /// that is asked of a constant of floating-point numbers, and another number of outputs than the first time. There is
    /// no forward mode over a gradient of a recomputed block: that is an error of MLX.
    #[track_caller]
    pub fn block<F>(
        &self,
        index: usize,
        f: F,
        primals: &[Array],
        constants: &[Array],
    ) -> Result<Vec<Array>>
    where
        F: Fn(&[Array], &[Array]) -> Result<Vec<Array>> + Copy + Send + 'static,
    {
        check_primals(index, primals)?;
        self.run(index, f, primals, constants)
    }

    /// Runs the block of this number, which is a module: `f(module, inputs, constants)`.
    ///
    /// The module's trainable parameters become primals, beside `inputs`, and its frozen ones constants. So each trainable
    /// parameter gets its gradient, and the module may be of another type from block to block.
    ///
    /// `f` works on a copy of the module, whose parameters are those that MLX differentiates by. What it changes there is
    /// lost. A module that sets its own parameters in its forward pass is refused, as recomputing would do it twice
    /// (mlx-rs's `BatchNorm` while it trains: leave it outside the blocks). What a module keeps beside its parameters is
    /// copied with it: an array there has no gradient, and mlx-rs's `Dropout` draws without a key, which
    /// [`verify`](super::verify) finds. Take a key among the constants instead.
    ///
    /// ```
    /// use mlx_rs::builder::Builder;
    /// use mlx_rs::error::Exception;
    /// use mlx_rs::macros::ModuleParameters;
    /// use mlx_rs::module::{Module, Param};
    /// use mlx_rs::nn::{Linear, relu};
    /// use mlx_rs::{Array, array};
    /// use mlx_wired::train::checkpoint::{Checkpointing, Recompute, module_value_and_grad};
    ///
    /// #[derive(Debug, Clone, ModuleParameters)]
    /// struct Model {
    ///     #[param]
    ///     layers: Vec<Linear>,
    ///     blocks: Checkpointing,
    /// }
    ///
    /// fn layer(layer: &mut Linear, inputs: &[Array], _: &[Array]) -> Result<Vec<Array>, Exception> {
    ///     Ok(vec![relu(layer.forward(&inputs[0])?)?])
    /// }
    ///
    /// let blocks = Checkpointing::new(Recompute::All);
    /// let mut model = Model { layers: vec![Linear::new(2, 2)?, Linear::new(2, 2)?], blocks: blocks.clone() };
    /// let loss = |model: &mut Model, x: &Array| -> Result<Array, Exception> {
    ///     let mut x = x.clone();
    ///     for (index, linear) in model.layers.iter().enumerate() {
    ///         x = model.blocks.module(index, linear, layer, &[x], &[])?.remove(0);
    ///     }
    ///     x.sum(None)
    /// };
    /// let (_value, gradients) = module_value_and_grad(loss)(&mut model, &array!([[1.0_f32, 2.0]]))?;
    /// assert_eq!(gradients.len(), 4);
    /// # Ok::<(), Exception>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block). A module that changed its parameters is named with the one that it changed.
    #[track_caller]
    pub fn module<M, F>(
        &self,
        index: usize,
        module: &M,
        f: F,
        inputs: &[Array],
        constants: &[Array],
    ) -> Result<Vec<Array>>
    where
        M: ModuleParameters + Clone + Send + 'static,
        F: Fn(&mut M, &[Array], &[Array]) -> Result<Vec<Array>> + Copy + Send + 'static,
    {
        let run = Run::new(index, module, inputs, constants);
        check_primals(index, &run.primals)?;
        let skeleton = run.skeleton;
        let body =
            move |primals: &[Array], constants: &[Array]| skeleton.run(f, primals, constants);
        self.run(index, body, &run.primals, &run.constants)
    }

    fn run<F: Function>(
        &self,
        index: usize,
        f: F,
        primals: &[Array],
        constants: &[Array],
    ) -> Result<Vec<Array>> {
        if is_off() {
            return kept(index, f, primals, constants);
        }
        let wanted = self.get();
        let traced = encoded(wanted) + 1;
        self.shared.traced.store(traced, Ordering::Relaxed);
        if wanted.recomputes(index) {
            recomputing(index, f, primals, constants)
        } else {
            kept(index, f, primals, constants)
        }
    }
}

impl fmt::Debug for Checkpointing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointing")
            .field("recompute", &self.get())
            .field("traced", &self.traced())
            .finish()
    }
}
