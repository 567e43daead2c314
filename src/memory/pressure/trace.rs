//! One line for each change, through `tracing` where the feature is on.

use super::told::{Change, SourceEvent};

#[cfg(feature = "tracing")]
pub(super) fn change(change: &Change) {
    if change.is_rise() {
        tracing::warn!(target: "mlx_wired", "{change}");
    } else {
        tracing::info!(target: "mlx_wired", "{change}");
    }
}

#[cfg(feature = "tracing")]
pub(super) fn source(event: &SourceEvent) {
    tracing::warn!(target: "mlx_wired", "{event:#}");
}

#[cfg(not(feature = "tracing"))]
pub(super) fn change(_: &Change) {}

#[cfg(not(feature = "tracing"))]
pub(super) fn source(_: &SourceEvent) {}
