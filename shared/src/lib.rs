//! The vocabulary of a Rushes farm. Pure: no clock, thread, file or socket.
//!
//! ```text
//! id, units, principal           who, how much, when
//! artifact, bundle, failure      where bytes are; several files as one; why something failed
//! media, encode, measure, still  facts of a file; settings of an output; measurements; pictures from a film
//! sequence                       numbered pictures: names, frame rate, many files as one
//! check                          what was allowed, found, and where
//! request -> job -> task         what a user wrote -> what the farm keeps -> what a worker runs
//! node                           what a worker tells of its machine
//! codec, frame, wire, ticket     bytes between processes
//! view                           JSON of the REST API
//! at_hand                        media operations of the command line, without a farm
//! settings, build                layered configuration; build facts
//! ```

pub mod artifact;
pub mod at_hand;
pub mod build;
pub mod bundle;
pub mod check;
pub mod codec;
pub mod encode;
pub mod failure;
pub mod frame;
pub mod id;
pub mod job;
pub mod ladder;
pub mod measure;
pub mod media;
pub mod node;
pub mod principal;
pub mod request;
pub mod sequence;
pub mod settings;
pub mod still;
pub mod task;
pub mod ticket;
pub mod units;
pub mod view;
pub mod wire;
