//! The limit: what it must cover, when it is raised, lowered and restored, and the one caller of the setter.

pub(crate) mod ask;
pub(crate) mod cover;
pub(crate) mod decide;
pub(crate) mod finishing;
pub(crate) mod housekeeping;
pub(crate) mod publish;
pub(crate) mod session;
pub(crate) mod set;
pub(crate) mod standing;
