//! What holds for all machines together.

mod deadlines;
