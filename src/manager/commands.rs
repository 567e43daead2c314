//! What programs tell a manager: how one is built and shared, its settings, and questions that need no lock.

pub(crate) mod build;
pub(crate) mod figures;
pub(crate) mod renew;
pub(crate) mod rewire;
