//! What a measurement holds for.

use crate::Manager;
use crate::print::Name;
use std::fmt;

/// What a measurement holds for: the same model, on the same device, with the same MLX.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "estimate", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "estimate", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Key {
    /// The program's own name for all that decides how much its work needs: model, data type, batch, context.
    pub model: String,
    /// The device's name, if it has one.
    pub device: Option<String>,
    /// Which of MLX's backends computes: `CPU`, `CUDA` or `Metal`.
    pub backend: String,
    /// MLX's version, if the backend tells.
    pub mlx: Option<String>,
}

impl Key {
    /// What `model` is measured on with this manager.
    #[must_use]
    pub fn of(manager: &Manager, model: impl Into<String>) -> Self {
        let device = manager.device();
        Self {
            model: model.into(),
            device: device.name.clone(),
            backend: device.kind.to_string(),
            mlx: manager.backend().version(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |part: &Option<String>| part.as_deref().unwrap_or("?").to_owned();
        let (device, mlx) = (told(&self.device), told(&self.mlx));
        write!(
            f,
            "{} on {} ({}), MLX {}",
            Name::new(&self.model),
            Name::new(&device),
            Name::new(&self.backend),
            Name::new(&mlx),
        )
    }
}
