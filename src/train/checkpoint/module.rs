//! A module as a function of its parameters.

use super::names::Names;
use crate::print::Name;
use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use mlx_rs::module::ModuleParameters;
use std::collections::HashMap;
use std::ffi::CString;
use std::rc::Rc;
use std::sync::Arc;

/// A module, taken apart: what it computes with, and what is left of it.
pub(super) struct Run<M> {
    pub(super) skeleton: Skeleton<M>,
    /// The trainable parameters, in the order of their names, and the inputs.
    pub(super) primals: Vec<Array>,
    /// The frozen ones, and the constants.
    pub(super) constants: Vec<Array>,
}

/// A module without its parameters, so that none can be computed with that gets no gradient.
#[derive(Clone)]
pub(super) struct Skeleton<M> {
    block: usize,
    module: M,
    trainable: Arc<[Box<str>]>,
    frozen: Arc<[Box<str>]>,
}

impl<M: ModuleParameters + Clone> Run<M> {
    pub(super) fn new(block: usize, module: &M, inputs: &[Array], constants: &[Array]) -> Self {
        let trains = module.trainable_parameters().flatten();
        let parameters = module.parameters().flatten();
        // Maps are in another order each time: by name, each step traces the same graph.
        let mut parameters: Vec<_> = parameters.into_iter().collect();
        parameters.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (trainable, frozen): (Vec<_>, Vec<_>) = parameters
            .into_iter()
            // What has no gradient (quantised weights) is not trained by gradients.
            .partition(|(name, array)| trains.contains_key(name) && array.dtype().is_inexact());
        let mut skeleton = Skeleton {
            block,
            module: module.clone(),
            trainable: names(&trainable),
            frozen: names(&frozen),
        };
        let nothing = Array::from_f32(0.0);
        for parameter in skeleton.module.parameters_mut().flatten().into_values() {
            *parameter = nothing.clone();
        }
        Self {
            skeleton,
            primals: arrays(&trainable, inputs),
            constants: arrays(&frozen, constants),
        }
    }
}

type Named<'a> = (Rc<str>, &'a Array);

fn names(parameters: &[Named<'_>]) -> Arc<[Box<str>]> {
    let names = parameters.iter().map(|(name, _)| Box::from(&**name));
    names.collect()
}

fn arrays(parameters: &[Named<'_>], more: &[Array]) -> Vec<Array> {
    let own = parameters.iter().map(|(_, array)| *array);
    own.chain(more).cloned().collect()
}

impl<M: ModuleParameters + Clone> Skeleton<M> {
    /// Runs a copy of the module with these parameters.
    pub(super) fn run(
        &self,
        f: impl Fn(&mut M, &[Array], &[Array]) -> Result<Vec<Array>>,
        primals: &[Array],
        constants: &[Array],
    ) -> Result<Vec<Array>> {
        let (trainable, inputs) = primals.split_at(self.trainable.len());
        let (frozen, constants) = constants.split_at(self.frozen.len());
        let mut module = self.module.clone();
        let mut parameters = module.parameters_mut().flatten();
        let names = self.trainable.iter().chain(&*self.frozen);
        for (name, value) in names.zip(trainable.iter().chain(frozen)) {
            if let Some(parameter) = parameters.get_mut(&**name) {
                **parameter = value.clone();
            }
        }
        // What is given lives as long as `primals` and `constants`, so no other array is taken for it.
        let mut arrays = Names::new();
        let given: HashMap<Rc<str>, CString> = parameters
            .into_iter()
            .map(|(name, parameter)| Ok((name, arrays.of(parameter)?)))
            .collect::<Result<_>>()?;
        let outputs = f(&mut module, inputs, constants)?;
        let after = module.parameters().flatten();
        let mut changed = given.keys().filter(|name| !after.contains_key(*name)).min();
        for (name, parameter) in &after {
            if given.get(name) != Some(&arrays.of(parameter)?) {
                changed = Some(changed.map_or(name, |other| other.min(name)));
            }
        }
        match changed {
            None => Ok(outputs),
            Some(name) => Err(Exception::custom(format!(
                "checkpointing: block {} set its parameter {} in its forward pass, which recomputing would do twice: \
                 leave it outside the blocks, or do not train it",
                self.block,
                Name::new(name)
            ))),
        }
    }
}
