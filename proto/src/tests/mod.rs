//! Tests of all machines together.

mod deadlines;
