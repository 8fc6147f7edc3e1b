//! The kinds of networks that players have, and which pairs of them can be direct.
//!
//! The stories with real routers include this file too, so it imports nothing.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Public,
    Firewall,
    FullCone,
    AddressRestricted,
    PortRestricted,
    Masquerade,
    Symmetric,
    Cgnat,
    SymmetricCgnat,
    Blocked,
    Mapped,
    Ipv6,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Public,
        Self::Firewall,
        Self::FullCone,
        Self::AddressRestricted,
        Self::PortRestricted,
        Self::Masquerade,
        Self::Symmetric,
        Self::Cgnat,
        Self::SymmetricCgnat,
        Self::Blocked,
        Self::Mapped,
        Self::Ipv6,
    ];

    fn maps_per_destination(self) -> bool {
        matches!(self, Self::Symmetric | Self::SymmetricCgnat | Self::Ipv6)
    }

    fn filters_by_port(self) -> bool {
        !matches!(self, Self::Public | Self::FullCone | Self::AddressRestricted | Self::Mapped)
    }
}

/// The table: over IPv4 a direct path is impossible exactly if one side maps per destination and the other filters by port.
pub fn is_direct(a: Kind, b: Kind) -> bool {
    if a == Kind::Blocked || b == Kind::Blocked {
        return false;
    }
    let both_v6 = a == Kind::Ipv6 && b == Kind::Ipv6;
    let impossible = |one: Kind, other: Kind| one.maps_per_destination() && other.filters_by_port();
    both_v6 || !(impossible(a, b) || impossible(b, a))
}
