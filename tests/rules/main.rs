//! The rules of the contract, proven at the public interface. Each test is named after its rule.

mod admission;
mod allocations;
mod budget;
mod ceiling;
mod circles;
mod custom;
mod events;
mod failure;
mod foreign_code;
mod growing;
mod guards;
mod holders;
mod hysteresis;
mod limit;
mod linger;
mod mixed;
mod overtaking;
mod ownership;
mod policy_only;
mod races;
mod resize;
mod support;
mod synchronize;
mod user_code;
mod waiting;
