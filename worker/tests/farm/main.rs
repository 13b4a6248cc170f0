//! A real worker process in a farm that is played by hand, over real QUIC, with real encodes.

mod fake;
mod hostile;
mod lane;
mod link;
mod nursery;
mod task_process;
mod trial;
