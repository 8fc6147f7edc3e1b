//! What a diagnosis is made from, and the list that it becomes.

use crate::{
    local::reply::{Contact, Finding, FindingCode, PeerStatus, Severity, Status, Sureness},
    reaching::{mapping::Standing, traversal::Means},
};
use std::net::{IpAddr, Ipv4Addr};

/// What is known at this moment.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub status: &'a Status,
    /// The port mapping; `None` if it is switched off.
    pub mapping: Option<Standing>,
    /// This machine's addresses, without loopback and link-local ones.
    pub own: &'a [IpAddr],
    /// The own address from which IPv4 packets leave for the Internet.
    pub facing: Option<Ipv4Addr>,
    /// The router's address in this machine's network, where the system tells it.
    pub router: Option<Ipv4Addr>,
    /// The interface of that address, if it is a tunnel.
    pub tunnel: Option<&'a str>,
    /// By how many seconds this machine's clock is ahead of each phone book's that has answered.
    pub clocks: &'a [i64],
    pub means: Means,
    /// Whether STUN servers are asked.
    pub stun: bool,
    /// The player in question, if it is about one.
    pub peer: Option<PeerFacts<'a>>,
}

/// What is known of the player in question.
#[derive(Debug, Clone)]
pub struct PeerFacts<'a> {
    /// As the person named them: a name or a key.
    pub who: &'a str,
    pub contact: Option<&'a Contact>,
    /// `None` if they were not dialled since the start.
    pub link: Option<&'a PeerStatus>,
    /// By which means they are reached.
    pub means: Means,
    /// The last lookup found that they are not online, or hidden.
    pub is_offline: bool,
}

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(
        &mut self,
        code: FindingCode,
        severity: Severity,
        sure: Sureness,
        sentence: impl Into<String>,
        help: Option<String>,
    ) {
        self.0.push(Finding { code, severity, sure, sentence: sentence.into(), help });
    }

    pub(super) fn has(&self, code: FindingCode) -> bool {
        self.0.iter().any(|finding| finding.code == code)
    }

    /// Whether it was found, and not as a note.
    pub(super) fn is_wrong(&self, code: FindingCode) -> bool {
        self.0.iter().any(|finding| finding.code == code && finding.severity < Severity::Note)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Equal ones stay in the order in which they were found.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| (finding.severity, finding.sure));
        self.0
    }
}
