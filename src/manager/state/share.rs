//! The share of caps that counts under pressure.

use crate::arbiter::Resolved;

/// So much of a number of bytes.
pub(crate) fn share_of(bytes: u64, share: f64) -> u64 {
    if share < 1.0 {
        (bytes as f64 * share) as u64
    } else {
        // Beyond 2^53 a float is no exact number of bytes.
        bytes
    }
}

/// A formula of whose cap a share counts.
pub(crate) fn pressed(formula: Resolved, share: f64) -> Resolved {
    match formula {
        Resolved::Sum { base, cap } if share < 1.0 && formula.can_refuse() => Resolved::Sum {
            base,
            cap: share_of(cap, share),
        },
        other => other,
    }
}
