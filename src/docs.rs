//! Pages without code: [how programs are put together](patterns), and [what does not work](limits). They are in the
//! documentation alone.

pub mod limits;
pub mod patterns;
