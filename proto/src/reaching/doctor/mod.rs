//! Why players are not reached: from what a daemon knows of its network, its phone books and a peer to sentences for a
//! person, the worst first.

mod books;
mod facts;
mod network;
mod peer;
#[cfg(test)]
mod tests;

pub use facts::{Facts, PeerFacts};

use crate::local::reply::{Finding, FindingCode, Severity, Sureness};
use facts::Findings;

/// Findings in order of severity, then of certainty; at least one. If the question is about a player for whom this
/// machine's network does not matter, only the finding about that player.
pub fn diagnose(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Findings::default();
    let is_about_network = facts.peer.as_ref().is_none_or(|peer| peer::examine(peer, &mut found));
    if is_about_network {
        books::examine(facts, &mut found);
        network::examine(facts, &mut found);
    }
    if found.is_empty() {
        found.add(
            FindingCode::NothingFound,
            Severity::Note,
            Sureness::Likely,
            "nothing wrong was found",
            None,
        );
    }
    found.sorted()
}
