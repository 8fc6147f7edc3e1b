//! The end of a live session.

use fyteclub_proto::phonebook::live::{CloseReason, Hear};
use std::collections::VecDeque;

/// Messages still to send, and the close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CloseFrame {
    pub(super) last: VecDeque<Hear>,
    pub(super) reason: CloseReason,
    pub(super) text: String,
}

impl CloseFrame {
    pub(super) fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { last: VecDeque::new(), reason, text: text.into() }
    }
}
