//! Verbs about the paths to one peer: dial an address, make the path anew, leave it for another.

use super::{
    peer::{self, Peer},
    traversal::{FailOver, Reconnect, Traversals},
};
use crate::{
    desks::{faults::internal, orders::Answer},
    sharing::access::Refusal,
};
use actix::Addr;
use fyteclub_proto::{
    id::{PeerId, PlayerName},
    local::{
        Fault, FaultCode,
        reply::{Empty, PeerStatus},
        request::PeerConnect,
    },
    reaching::candidate::{Teller, Vantage, may_be_dialled},
};
use std::net::SocketAddr;

/// Whose paths a verb is about.
pub(super) struct OfPeer {
    pub key: PeerId,
    pub player: PlayerName,
    pub actor: Addr<Peer>,
    pub traversals: Addr<Traversals>,
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether a person may have this address dialled.
///
/// # Errors
/// What keeps it from being dialled, and the way out.
pub(super) fn check(connect: &PeerConnect, admitted: Result<(), Refusal>, relay_only: bool) -> Answer<()> {
    let PeerConnect { peer_id, address } = *connect;
    let (code, message) = match admitted {
        Err(Refusal::NoContact) => (
            FaultCode::NotAContact,
            format!(
                "that key is no contact's: add the player first, with: fyteclubctl contacts add \"NAME@WORLD\" {peer_id}"
            ),
        ),
        Err(refusal @ Refusal::Banned) => (FaultCode::PeerRefused, refusal.to_string()),
        Ok(()) if relay_only => (
            FaultCode::BadRequest,
            "only relays are set for this player: a dial would show your address to the player".to_owned(),
        ),
        Ok(()) => {
            let address = canonical(address);
            if may_be_dialled(address, Teller::Person, &Vantage::default()) {
                return Ok(());
            }
            (FaultCode::BadRequest, format!("{address} is not the address and port of one machine"))
        }
    };
    Err(Fault::new(code, message))
}

/// Dials a contact where a person says.
pub(super) async fn connect(of: Answer<OfPeer>, address: SocketAddr) -> Answer<PeerStatus> {
    let (OfPeer { player, actor, .. }, address) = (of?, canonical(address));
    if let Err(cause) = actor.send(peer::DialAt(address)).await.map_err(|_| internal())? {
        let message = format!("{address} cannot be reached: {cause}");
        return Err(Fault::new(FaultCode::PeerUnreachable, message));
    }
    let status = actor.send(peer::Report).await.map_err(|_| internal())?;
    Ok(PeerStatus { player: Some(player), ..status })
}

pub(super) async fn reconnect(of: Answer<OfPeer>) -> Answer<Empty> {
    let OfPeer { key, actor, traversals, .. } = of?;
    // A link at a real address has no other path, and a missing one has none: both are dialled.
    if !traversals.send(Reconnect(key)).await.map_err(|_| internal())? {
        actor.do_send(peer::Reconnect);
    }
    Ok(Empty {})
}

pub(super) async fn fail_over(of: Answer<OfPeer>) -> Answer<Empty> {
    let OfPeer { key, player, traversals, .. } = of?;
    if traversals.send(FailOver(key)).await.map_err(|_| internal())? {
        return Ok(Empty {});
    }
    let message = format!(
        "no other path to {player} works: the link, if there is one, stays where it is, and another path is looked for"
    );
    Err(Fault::new(FaultCode::PeerUnreachable, message))
}
