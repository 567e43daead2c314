//! How an acquire may wait.

use crate::wait::Wait;

/// How an acquire may wait.
#[derive(Debug, Clone)]
pub(crate) struct AcquireWait {
    /// False for `try_` forms and [`Wait::none`]: neither for admission nor for another's setter call.
    pub(crate) waits: bool,
    pub(crate) wait: Wait,
}

impl From<Wait> for AcquireWait {
    fn from(wait: Wait) -> Self {
        Self {
            waits: !wait.is_none(),
            wait,
        }
    }
}
