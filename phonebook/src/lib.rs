//! The phone book.
pub mod book;
mod clock;
