//! The rules of each kind's routers, in nftables' language. `eth0` is inside, `wan` outside.

use super::Kind;

/// A shell's line that loads them.
pub(super) fn load(rules: &str) -> String {
    format!("nft -f - <<'RULES'\n{rules}\nRULES\n")
}

/// From outside comes what belongs to a flow from inside, and what a rule of NAT sends inside. The router itself is closed.
const CLOSED: &str = r#"
table inet filter {
    chain input {
        type filter hook input priority 0
        iifname "wan" ct state established,related accept
        iifname "wan" meta l4proto ipv6-icmp accept
        iifname "wan" drop
    }
    chain forward {
        type filter hook forward priority 0; policy drop
        ct state established,related accept
        ct status dnat accept
        iifname "eth*" accept
    }
}
"#;

fn masquerade(how: &str) -> String {
    format!(
        r#"
table ip masquerades {{
    chain postrouting {{
        type nat hook postrouting priority 100
        oifname "wan" masquerade {how}
    }}
}}
"#
    )
}

/// A cone: ports stay, and from outside comes what the set of `key` has.
fn cone(host: &str, outward: &str, inward: &str, key: &str) -> String {
    format!(
        r#"
table ip cone {{
    set open {{
        type {key}
        flags dynamic,timeout
        size 65535
    }}
    chain prerouting {{
        type nat hook prerouting priority -100
        iifname "wan" {inward} @open dnat to {host}
    }}
    chain leaving {{
        type filter hook forward priority -1
        oifname "wan" meta l4proto udp update @open {{ {outward} timeout 120s }}
    }}
}}
"#
    ) + &masquerade("")
}

/// Of a home's own router.
pub(super) fn home(kind: Kind, host: &str) -> String {
    match kind {
        // miniupnpd's router brings its own.
        Kind::Public | Kind::Mapped => String::new(),
        Kind::Firewall => CLOSED.into(),
        Kind::FullCone => cone(host, "udp sport", "udp dport", "inet_service") + CLOSED,
        Kind::AddressRestricted => {
            cone(host, "ip daddr . udp sport", "ip saddr . udp dport", "ipv4_addr . inet_service") + CLOSED
        }
        Kind::PortRestricted | Kind::Cgnat | Kind::SymmetricCgnat => masquerade("") + CLOSED,
        // A gateway without a firewall: an early packet from outside takes the port.
        Kind::Masquerade => masquerade(""),
        Kind::Symmetric | Kind::Ipv6 => masquerade("random,fully-random") + CLOSED,
        Kind::Blocked => {
            let blocked = CLOSED.replace("policy drop\n", "policy drop\n        meta l4proto udp drop\n");
            masquerade("") + &blocked
        }
    }
}

/// Of a carrier's router.
pub(super) fn carrier(kind: Kind) -> String {
    let how = if kind == Kind::SymmetricCgnat { "random,fully-random" } else { "" };
    masquerade(how) + CLOSED
}
