//! The capture format, the reader and the replay, seen from outside.

mod check;
mod damage;
mod dump;
mod mappings;
mod model;
mod pymalloc;
mod ranges;
mod recording;
mod records;
mod replay;
mod seal;
mod show;
mod slices;
mod spec;
mod trace;
