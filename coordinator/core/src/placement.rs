//! Where tasks can go: nodes with what each holds, and an index that finds a node with room without looking at all.

pub mod ahead;
pub mod cheapest;
pub mod fleet;
pub mod hardware;
pub mod index;
pub mod lack;
pub mod node;
