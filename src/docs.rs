//! Pages without code: [how programs are put together](patterns), [what does not work](limits), and
//! [how to train](training). They are in the documentation alone.

pub mod limits;
pub mod patterns;
pub mod training;
