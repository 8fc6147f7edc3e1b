//! Classes of requests, and refusals by a budget.

/// Requests of one class share a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Register, unregister, change a name's key.
    Registration,
    /// Each name looked up.
    Lookup,
    Introduction,
    /// Opening a live session.
    Socket,
    /// Cheap requests, and unknown paths.
    Other,
    /// Datagrams answered to an address that has proven nothing.
    Datagram,
}

impl Class {
    /// Where [`Self::ALL`] has it.
    #[expect(clippy::as_conversions, reason = "they are declared in that order")]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const ALL: [Self; 6] =
        [Self::Registration, Self::Lookup, Self::Introduction, Self::Socket, Self::Other, Self::Datagram];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Lookup => "lookup",
            Self::Introduction => "introduction",
            Self::Socket => "socket",
            Self::Other => "other",
            Self::Datagram => "datagram",
        }
    }
}

/// The budget that was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum By {
    Address,
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    pub class: Class,
    pub by: By,
    /// Seconds: the missing time rounded up, plus up to half of it at random, so that clients refused together come
    /// back apart.
    pub retry_after: u32,
}
