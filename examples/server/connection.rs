//! A client's patience, and what it is told in place of an answer.

use mlx_wired::{CancelToken, Error, Wait};
use std::time::Instant;

/// One request's way back to its client.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Cancelled by the thread that sees the connection close. One token serves every wait of the request.
    hung_up: CancelToken,
    /// When the client no longer wants a first token.
    deadline: Instant,
}

impl Connection {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self {
            hung_up: CancelToken::new(),
            deadline,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn close(&self) {
        self.hung_up.cancel();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.hung_up.is_cancelled()
    }

    /// Whether it is no use to wait any longer.
    pub(crate) fn is_over(&self) -> bool {
        self.is_closed() || Instant::now() >= self.deadline
    }

    /// How long an acquire for this request waits.
    pub(crate) fn wait(&self) -> Wait {
        Wait::new().deadline(self.deadline).cancel(&self.hung_up)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// As many wait as may: 503, with a time to come again.
    Full,
    /// The client hung up, 499, or its time was over, 504.
    GaveUp,
    /// 413 for `NeverAdmissible`; for the rest 500 and a look at the log.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::QueueFull { .. } => Self::Full,
            Error::Timeout { .. } | Error::Cancelled { .. } => Self::GaveUp,
            error => Self::Failed(error),
        }
    }
}
