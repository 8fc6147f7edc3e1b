//! Classes of requests, and refusals by a budget.

/// Requests of one class share a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Register, unregister, change a name's key.
    Registration,
    /// Each name looked up.
    Lookup,
    Introduction,
    /// Opening a live session.
    Socket,
    /// Cheap requests, and unknown paths.
    Other,
}

impl Class {
    pub(crate) const ALL: [Self; 5] =
        [Self::Registration, Self::Lookup, Self::Introduction, Self::Socket, Self::Other];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Lookup => "lookup",
            Self::Introduction => "introduction",
            Self::Socket => "socket",
            Self::Other => "other",
        }
    }
}

/// The budget that was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    Address,
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    pub class: Class,
    pub by: By,
    /// Seconds: the missing time rounded up, plus up to half of it at random, so that clients refused together come
    /// back apart.
    pub retry_after: u32,
}
