//! Clients' requests about contacts: each is carried out or refused at once, and answered when the change is on the
//! disk.

use super::{ContactDesk, joining::JOIN_TIME};
use crate::{
    desks::orders::{Answer, Later, Now, Orders, at_once},
    io::keeper::Keeping,
};
use fyteclub_proto::{
    bytes::Bytes,
    contact::{self, ContactError},
    id::{PeerId, PlayerName},
    invitation::{Invitation, InvitationError},
    local::{
        Fault, FaultCode,
        reply::{self, Invited, Standing},
        request::{ContactsAdd, ContactsJoin, ContactsSet, Who},
    },
};

/// A client's request.
pub enum Change {
    Add(ContactsAdd),
    Accept(Who),
    Remove(Who),
    Block(Who),
    Unblock(Who),
    Trust(PlayerName, PeerId),
    Set(ContactsSet),
    Join(ContactsJoin),
}

impl ContactDesk {
    /// Carries a request out. The answer is the contact afterwards; `None` if there may be none.
    pub fn change(&mut self, now: Now, change: Change, orders: &mut Orders) -> Later<Option<reply::Contact>> {
        match self.apply(now, change) {
            Ok(contact) => {
                let keeping = self.keep(now, orders);
                let contact = contact.map(|contact| self.shown(&contact));
                once_kept(keeping, contact)
            }
            Err(fault) => at_once(Err(fault)),
        }
    }

    /// Follows an invitation, and waits a moment for the inviter's answer.
    pub fn join(&mut self, now: Now, join: ContactsJoin, orders: &mut Orders) -> Later<reply::Contact> {
        let contact = match self.apply(now, Change::Join(join)) {
            Ok(Some(contact)) => contact,
            Ok(None) => {
                return at_once(Err(Fault::new(FaultCode::Internal, "an invitation made no contact")));
            }
            Err(fault) => return at_once(Err(fault)),
        };
        let keeping = self.keep(now, orders);
        let contact = self.shown(&contact);
        let key = contact.peer_id.filter(|_| contact.standing == Standing::Requested);
        let answered = key.map(|key| self.joining.wait(key));
        let kept = once_kept(keeping, contact);
        Box::pin(async move {
            let contact = kept.await?;
            let Some(answered) = answered else { return Ok(contact) };
            match tokio::time::timeout(JOIN_TIME, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Ok(contact),
            }
        })
    }

    /// Makes an invitation that names this player's phone books.
    pub fn invite(&mut self, now: Now, orders: &mut Orders) -> Later<Invited> {
        let made = random().and_then(|random| {
            let made = self.machine.invite(random, &self.phonebooks, now.unix_ms);
            made.map_err(|error| refused(&error))
        });
        match made {
            Ok((invitation, expires)) => {
                let keeping = self.drive(now, orders).unwrap_or_else(|| self.save(orders));
                let link = invitation.to_string();
                let (kept, link_too) = (once_kept(Some(keeping), ()), link.clone());
                Box::pin(async move {
                    // It is open all the same: without the link it would be lost.
                    kept.await.map_err(|fault| Fault {
                        message: format!("{}. The invitation is {link_too}", fault.message),
                        ..fault
                    })?;
                    Ok(Invited { link, expires })
                })
            }
            Err(fault) => at_once(Err(fault)),
        }
    }

    /// Has changes written, if there are any.
    fn keep(&mut self, now: Now, orders: &mut Orders) -> Option<Keeping> {
        let keeping = self.drive(now, orders);
        keeping.or_else(|| self.unsaved.then(|| self.save(orders)))
    }

    fn apply(&mut self, now: Now, change: Change) -> Answer<Option<contact::Contact>> {
        let (now, machine) = (now.unix_ms, &mut self.machine);
        let done = match change {
            Change::Add(add) => machine.add(&add.player, add.peer_id, random()?, now).map(Some),
            Change::Accept(who) => machine.accept(&who, now).map(Some),
            Change::Remove(who) => machine.remove(&who).map(|()| None),
            Change::Block(who) => machine.block(&who, now).map(Some),
            Change::Unblock(who) => machine.unblock(&who).map(|()| None),
            Change::Trust(player, key) => machine.trust(&player, key, now).map(|()| None),
            Change::Set(ContactsSet { player, peer_id, relay }) => {
                let Some(relay) = relay else {
                    return Err(Fault::new(FaultCode::BadRequest, "name what is to be set: `relay`"));
                };
                machine.set_relay(&Who { player, peer_id }, relay).map(Some)
            }
            Change::Join(join) => {
                let invitation: Invitation = join
                    .link
                    .parse()
                    .map_err(|error: InvitationError| Fault::new(FaultCode::BadRequest, error.to_string()))?;
                warn_of_other_books(&invitation, &self.phonebooks);
                machine.join(&invitation, random()?, now).map(Some)
            }
        };
        done.map_err(|error| refused(&error))
    }
}

/// Answers when the write has ended.
fn once_kept<T: 'static>(keeping: Option<Keeping>, answer: T) -> Later<T> {
    Box::pin(async move {
        if let Some(keeping) = keeping {
            keeping.await.map_err(|error| {
                Fault::new(FaultCode::Io, format!(
                    "{error}: the change is valid until the daemon stops, which tries again to write it every other minute"
                ))
            })?;
        }
        Ok(answer)
    })
}

fn random() -> Result<Bytes<16>, Fault> {
    let mut bytes = [0; 16];
    let failed = |error| Fault::new(FaultCode::Internal, format!("this machine has no randomness: {error}"));
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(Bytes(bytes))
}

fn refused(error: &ContactError) -> Fault {
    let code = match error {
        ContactError::NotAContact { .. } | ContactError::DoesNotAsk { .. } => FaultCode::NotAContact,
        ContactError::NameHeld { .. } => FaultCode::KeyChanged,
        ContactError::Nameless => FaultCode::NoPlayer,
        _ => FaultCode::BadRequest,
    };
    Fault::new(code, error.to_string())
}

/// One phone book may have two URLs, so this is no reason to refuse.
fn warn_of_other_books(invitation: &Invitation, own: &[String]) {
    let is_own =
        |book: &String| own.iter().any(|own| own.trim_end_matches('/') == book.trim_end_matches('/'));
    if !invitation.phonebooks.is_empty() && !invitation.phonebooks.iter().any(is_own) {
        tracing::warn!(
            "the invitation names other phone books than this daemon's ({}): if they do not answer, start it with --phonebook and one of these",
            invitation.phonebooks.join(", ")
        );
    }
}
