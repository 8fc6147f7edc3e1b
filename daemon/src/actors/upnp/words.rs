//! The mapping's state in words, for `status` and the log.

use fyteclub_proto::{
    local::reply::{MappingCounts, MappingState, PortMapping},
    reaching::mapping::{Cause, Standing},
};
use std::net::Ipv4Addr;

/// Before the networks are read, which `begins` says, "no network" is no result.
pub(super) fn settled(standing: Standing, begins: bool) -> Standing {
    if begins { Standing::Searching } else { standing }
}

/// `standing` is `None` if both switches are off; `local` is this machine's address in its first network.
pub(super) fn report(
    standing: Option<Standing>,
    local: Option<Ipv4Addr>,
    port: u16,
    counts: MappingCounts,
) -> PortMapping {
    let mut report = PortMapping { counts, ..PortMapping::default() };
    match standing {
        None => {}
        Some(Standing::Searching) => report.state = MappingState::Searching,
        Some(Standing::Mapped { outside, by, seconds, proven }) => {
            report.state = MappingState::Mapped;
            report.outside = Some(outside.to_string());
            report.protocol = Some(by.to_string());
            report.lease_seconds = seconds;
            report.proven = proven;
        }
        Some(Standing::Without(cause)) => {
            report.state = MappingState::None;
            report.cause = Some(cause.to_string());
            report.hint = hint(cause, local, port);
        }
    }
    report.words = standing.map_or_else(|| "off".to_owned(), sentence);
    report
}

pub(super) fn sentence(standing: Standing) -> String {
    match standing {
        Standing::Searching => "searching for a router".to_owned(),
        Standing::Mapped { outside, by, proven, .. } => {
            let proof = if proven { "" } else { ", not proven from outside yet" };
            format!("{outside} leads to this machine by {by}{proof}")
        }
        Standing::Without(cause) => format!("none: {cause}"),
    }
}

/// Advice to a person, with this machine's own address and port.
pub(super) fn hint(cause: Cause, local: Option<Ipv4Addr>, port: u16) -> Option<String> {
    let by_hand = |local| format!("forward UDP port {port} to {local} in the router's settings");
    let pinned = "give fyteclubd that port for good with --listen [::]:";
    match cause {
        Cause::NoRouter | Cause::Forbidden => local.map(|local| {
            format!(
                "Switch on UPnP or NAT-PMP in the router's settings, or {}; {pinned}{port}.",
                by_hand(local)
            )
        }),
        Cause::Failed | Cause::Full => {
            local.map(|local| format!("Restart the router, or {}; {pinned}{port}.", by_hand(local)))
        }
        Cause::AnotherRouter => Some(
            "Connect this machine to the outer router, or switch the inner one to bridge mode. If the outer one is your provider's, ask for a public address."
                .to_owned(),
        ),
        Cause::NoNetwork | Cause::LowPort => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::reaching::mapping::By;

    fn said(standing: Option<Standing>, begins: bool) -> PortMapping {
        let standing = standing.map(|standing| settled(standing, begins));
        report(standing, Some([192, 168, 1, 5].into()), 40_000, MappingCounts::default())
    }

    #[test]
    fn every_standing_has_its_words() {
        let outside = "11.22.33.44:40000".parse().expect("an address");
        let mapped = Standing::Mapped { outside, by: By::Pcp, seconds: Some(3600), proven: false };
        let report = said(Some(mapped), false);
        assert_eq!(
            report.words,
            "11.22.33.44:40000 leads to this machine by PCP, not proven from outside yet"
        );
        assert_eq!(
            (report.outside.as_deref(), report.lease_seconds),
            (Some("11.22.33.44:40000"), Some(3600))
        );
        assert_eq!((said(None, true).words, said(None, true).state), ("off".into(), MappingState::Off));
        let none = Standing::Without(Cause::NoNetwork);
        assert_eq!(said(Some(none), true).state, MappingState::Searching);
        assert_eq!(said(Some(none), false).state, MappingState::None);
    }

    #[test]
    fn hint_has_this_machines_own_numbers() {
        let report = said(Some(Standing::Without(Cause::NoRouter)), false);
        let hint = report.hint.expect("a hint");
        assert!(
            hint.contains("UDP port 40000 to 192.168.1.5") && hint.contains("--listen [::]:40000"),
            "{hint}"
        );
        for cause in [Cause::Failed, Cause::Full, Cause::Forbidden, Cause::AnotherRouter] {
            assert!(said(Some(Standing::Without(cause)), false).hint.is_some(), "{cause}");
        }
    }
}
