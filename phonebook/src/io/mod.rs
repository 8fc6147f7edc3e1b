//! What touches the operating system below HTTP.

pub mod patience;
