//! One connection of a peer with its session: the two halves of the control stream, and the task that serves requests.

use crate::{
    io::quic::{
        Link,
        stream::{StreamError, read_frame, write_frame},
    },
    ledger::Hold,
    pumps::push::Push,
};
use futures::{Stream, stream};
use fyteclub_proto::{
    id::{BlobHash, PlayerName},
    peer::{CloseCode, Control, Greeting},
    reaching::session::Session,
    seal::End,
};
use quinn::{ConnectionError, RecvStream};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// A message of a link's control stream, or the end of the connection.
pub enum LinkEvent {
    Control { link: usize, control: Control },
    Wrong { link: usize, code: CloseCode },
    Gone { link: usize, error: ConnectionError },
}

pub(super) struct Live {
    pub link: Link,
    pub session: Session,
    /// Why this end closed the link, if it has.
    pub closed: Option<CloseCode>,
    say: mpsc::UnboundedSender<Control>,
    /// The peer's greeting, once the link is open.
    pub greeting: Option<Greeting>,
    serving: Option<tokio::task::AbortHandle>,
    /// Its place among the links that have not greeted; `None` if this side dialled.
    greeting_due: Option<Hold>,
}

impl Live {
    /// Opens or accepts the control stream; the returned stream has its messages.
    pub(super) fn begin(
        link: Link,
        greeting: Greeting,
        due: Option<Hold>,
    ) -> (Self, impl Stream<Item = LinkEvent> + use<>) {
        let session = Session::new(link.end(), greeting, Instant::now());
        // Bounded by the session's outputs: a greeting, then one message for each change of this player's look.
        let (say, mut said) = mpsc::unbounded_channel::<Control>();
        let (receiving, received) = oneshot::channel::<RecvStream>();
        let writing = link.clone();
        tokio::spawn(async move {
            let opened = match writing.end() {
                End::Dialer => writing.open_stream().await,
                End::Acceptor => writing.accept_stream().await.map_err(StreamError::from),
            };
            let Ok((mut send, recv)) = opened else { return };
            receiving.send(recv).ok();
            while let Some(control) = said.recv().await {
                if write_frame(&mut send, &control).await.is_err() {
                    return;
                }
            }
        });
        let heard = heard(link.clone(), received);
        let live =
            Self { link, session, closed: None, say, greeting: None, serving: None, greeting_due: due };
        (live, heard)
    }

    pub(super) fn say(&self, control: Control) {
        // A closed link ends the session by itself.
        self.say.send(control).ok();
    }

    pub(super) fn greeted(&mut self, greeting: Greeting) {
        self.greeting = Some(greeting);
        self.greeting_due = None;
    }

    pub(super) fn set_look(&mut self, look: Option<BlobHash>) {
        if let Some(greeting) = &mut self.greeting {
            greeting.published = look;
        }
    }

    pub(super) fn player(&self) -> Option<PlayerName> {
        self.greeting.as_ref()?.player.clone()
    }

    /// Serves the peer's requests. QUIC's limit of streams bounds how many run at once.
    pub(super) fn serve(&mut self, push: Push) {
        let serving = tokio::spawn(async move {
            while let Ok((send, recv)) = push.link.accept_stream().await {
                tokio::spawn(push.clone().serve(send, recv));
            }
        });
        self.serving = Some(serving.abort_handle());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

enum Stage {
    Opening(oneshot::Receiver<RecvStream>),
    Reading(RecvStream),
    Closing,
}

fn heard(link: Link, received: oneshot::Receiver<RecvStream>) -> impl Stream<Item = LinkEvent> {
    stream::unfold(Some((link, Stage::Opening(received))), |state| async move {
        let (link, mut stage) = state?;
        let id = link.id();
        if let Stage::Opening(received) = stage {
            stage = received.await.map_or(Stage::Closing, Stage::Reading);
        }
        if let Stage::Reading(mut recv) = stage {
            match read_frame::<Control>(&mut recv).await {
                Ok(Some(control)) => {
                    let heard = LinkEvent::Control { link: id, control };
                    return Some((heard, Some((link, Stage::Reading(recv)))));
                }
                // A control stream ends with its link, never before.
                Ok(None) => {
                    let heard = LinkEvent::Wrong { link: id, code: CloseCode::OutOfTurn };
                    return Some((heard, Some((link, Stage::Closing))));
                }
                Err(error) => {
                    if let Some(code) = error.misbehaviour() {
                        return Some((LinkEvent::Wrong { link: id, code }, Some((link, Stage::Closing))));
                    }
                }
            }
        }
        let error = link.closed().await;
        Some((LinkEvent::Gone { link: id, error }, None))
    })
}
