//! A diagnosis with every word.

use fyteclub_proto::local::reply::{Diagnosis, Finding, FindingCode::*, Severity, Sureness};

pub(super) fn diagnosis() -> Diagnosis {
    let codes = [
        NoPhoneBook,
        PhoneBookSilent,
        PhoneBookRefuses,
        PhoneBookNotLive,
        NoPlayerName,
        ThisMachineOnly,
        NoNetwork,
        UdpBlocked,
        PortPerPlayer,
        AnotherRouter,
        MappingNotFound,
        MappingRefused,
        MappingOff,
        StunOff,
        PunchingOff,
        RelayOff,
        Ipv6NotListening,
        Ipv6Absent,
        Ipv6Present,
        Firewall,
        ClockOff,
        Vpn,
        PeerUnknown,
        PeerRequested,
        PeerAsking,
        PeerBlocked,
        PeerOffline,
        PeerNotReached,
        PeerNotTried,
        PeerConnecting,
        PeerConnected,
        PeerRelayed,
        NothingFound,
    ];
    let words = [
        (Severity::Blocks, Sureness::Certain),
        (Severity::Hinders, Sureness::Likely),
        (Severity::Note, Sureness::Possible),
    ];
    let findings = codes.into_iter().enumerate().map(|(nth, code)| {
        let (severity, sure) = words[nth * words.len() / codes.len()];
        let help = (nth % 2 == 0).then(|| "What helps.".to_owned());
        Finding { code, severity, sure, sentence: "one sentence".into(), help }
    });
    Diagnosis { findings: findings.collect() }
}
