//! What is counted together, whose budget pays, and what a refusal says.

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Registering and unregistering, and giving a name to another key.
    Registration,
    /// Each name that is asked for.
    Lookup,
    Introduction,
    /// Opening a live connection.
    Socket,
    /// The rest: what costs nothing but the answer, and what does not exist.
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

/// Whose budget was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    Address,
    Key,
}

/// The budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    pub class: Class,
    pub by: By,
    /// Whole seconds after which it is worth trying: what is missing, rounded up, and up to half as much again by chance,
    /// so that those who were refused together do not come back together.
    pub retry_after: u32,
}
