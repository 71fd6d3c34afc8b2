//! The capture format, the reader and the replay, seen from outside.

mod check;
mod damage;
mod model;
mod random;
mod recording;
mod records;
mod replay;
mod show;
mod trace;
