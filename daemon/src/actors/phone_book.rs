//! The phone books: registers with all of them, and asks the first that answers.

use super::{random, unix_millis};
use crate::io::{
    identity::Identity,
    phonebook_http::{Entry, PhonebookError, PhonebookHttp},
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, Recipient, ResponseFuture,
    SpawnHandle, WrapFuture,
};
use fyteclub_proto::{
    id::{PeerId, PlayerName},
    knock::{Callee, Knock, Note},
    letter::Attempt,
    local::reply::PhonebookStatus,
    phonebook::{Register, Unregister, Visibility},
    presence::{Input, Presence},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long leaving may take, for all phone books together.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// What the phone books' actor says to the coordinator.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum PhonebookFact {
    /// A phone book began or ceased to answer.
    Changed { url: String, error: Option<String> },
    /// A live conversation began: what waits to be carried may be sent again.
    Connected,
    /// Somebody asks to be a contact; the knock is authentic.
    Knocked(Knock),
    /// Somebody wrote; the note is from this key and from nobody else.
    Noted { from: PeerId, note: Note },
    /// Somebody wants to be introduced: answer with [`Answer`].
    Introduced { introduction: Introduction, from: PeerId, addrs: Vec<SocketAddr> },
}

/// Which introduction, by which phone book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    pub book: usize,
    pub attempt: Attempt,
}

/// Whether the addresses of this machine are told to who asked to be introduced.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Answer {
    pub introduction: Introduction,
    pub to: PeerId,
    pub accept: bool,
}

/// Carried by every phone book that is connected; lost where none is, and nobody hears whether it arrived.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Post {
    Knock { to: Callee, knock: Knock },
    Note { to: PeerId, note: Note },
}

/// Who this daemon is to a phone book.
#[derive(Clone)]
pub struct Registrant {
    pub identity: Arc<Identity>,
    /// Without a name there is nothing to register; lookups work all the same.
    pub player: Option<PlayerName>,
    /// UDP port of the QUIC socket.
    pub port: u16,
    pub heartbeat: Duration,
}

struct Book {
    http: PhonebookHttp,
    last_answer: Option<u64>,
    /// `None` until the first attempt ended.
    state: Option<Result<(), PhonebookError>>,
}

pub struct PhoneBook {
    books: Vec<Book>,
    registrant: Registrant,
    presence: Presence,
    /// The last sequence that was used.
    sequence: u64,
    facts: Recipient<PhonebookFact>,
    timer: Option<SpawnHandle>,
    /// Whether every phone book has answered, or failed to, once.
    settled: watch::Sender<bool>,
}

impl PhoneBook {
    pub fn new(books: Vec<PhonebookHttp>, registrant: Registrant, facts: Recipient<PhonebookFact>) -> Self {
        let registered = if registrant.player.is_some() { books.len() } else { 0 };
        let presence = Presence::new(registered, registrant.heartbeat, Instant::now());
        let settled = watch::Sender::new(registered == 0);
        let books = books.into_iter().map(|http| Book { http, last_answer: None, state: None }).collect();
        Self { books, registrant, presence, sequence: 0, facts, timer: None, settled }
    }

    /// Strictly rising, also over restarts as long as the clock does not go back.
    fn next_sequence(&mut self) -> u64 {
        self.sequence = (self.sequence + 1).max(unix_millis());
        self.sequence
    }

    fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(register) = self.presence.poll() {
            self.register(register.book, ctx);
        }
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if let Some((at, _)) = self.presence.deadline() {
            let wait = at.saturating_duration_since(Instant::now());
            self.timer = Some(ctx.run_later(wait, |book, ctx| {
                book.presence.handle(Instant::now(), random(), Input::Time);
                book.drive(ctx);
            }));
        }
    }

    fn register(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(player) = self.registrant.player.clone() else { return };
        let sequence = self.next_sequence();
        let body = Register::signed(
            player.as_str(),
            self.registrant.port,
            Visibility::Listed,
            sequence,
            unix_millis(),
            self.registrant.identity.key(),
        );
        let Some(book) = self.books.get(index) else { return };
        let http = book.http.clone();
        let request = async move { http.register(&body).await };
        ctx.spawn(request.into_actor(self).map(move |result, book, ctx| {
            let input = match &result {
                Ok(()) => Input::Registered { book: index },
                Err(_) => Input::Failed { book: index },
            };
            book.heard(index, result);
            book.presence.handle(Instant::now(), random(), input);
            book.drive(ctx);
        }));
    }

    /// Notes how a phone book answered, and says so when that changed.
    fn heard(&mut self, index: usize, result: Result<(), PhonebookError>) {
        let Some(book) = self.books.get_mut(index) else { return };
        if result.is_ok() {
            book.last_answer = Some(unix_millis());
        }
        let changed = book.state.as_ref().map(Result::is_ok) != Some(result.is_ok());
        if changed {
            let url = book.http.url().to_owned();
            match &result {
                Ok(()) => tracing::info!("phone book {url} answers"),
                Err(error) => tracing::warn!("phone book {url}: {error}"),
            }
            let error = result.as_ref().err().map(ToString::to_string);
            self.facts.do_send(PhonebookFact::Changed { url, error });
        }
        book.state = Some(result);
        self.settled.send_replace(self.books.iter().all(|book| book.state.is_some()));
    }
}

impl Actor for PhoneBook {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.drive(ctx);
    }
}

/// Why a player's address is not known.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    #[error("no phone book is configured: start the daemon with --phonebook URL")]
    NoPhonebook,
    #[error(
        "no phone book knows this player: are they online, and is the name spelt exactly as in the game?"
    )]
    NotFound,
    #[error("{0}")]
    Unavailable(PhonebookError),
}

/// Where is this player? Asks one phone book after the other until one knows.
#[derive(Message)]
#[rtype(result = "Result<Entry, LookupError>")]
pub struct Lookup(pub PlayerName);

#[derive(Message)]
#[rtype(result = "Vec<PhonebookStatus>")]
pub struct Report;

/// Answered when the first registration with every phone book has come to an end, good or bad.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Settle;

/// Takes the player off all phone books that can be reached in time.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

impl Handler<Lookup> for PhoneBook {
    type Result = ResponseFuture<Result<Entry, LookupError>>;

    fn handle(&mut self, lookup: Lookup, _: &mut Self::Context) -> Self::Result {
        let books: Vec<PhonebookHttp> = self.books.iter().map(|book| book.http.clone()).collect();
        Box::pin(async move {
            let mut worst = LookupError::NoPhonebook;
            for book in books {
                match book.lookup(&lookup.0).await {
                    Ok(Some(entry)) => return Ok(entry),
                    Ok(None) => worst = LookupError::NotFound,
                    Err(error) if matches!(worst, LookupError::NotFound) => {
                        tracing::debug!("phone book {}: {error}", book.url());
                    }
                    Err(error) => worst = LookupError::Unavailable(error),
                }
            }
            Err(worst)
        })
    }
}

impl Handler<Report> for PhoneBook {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let status = self.books.iter().map(|book| PhonebookStatus {
            url: book.http.url().to_owned(),
            ok: matches!(book.state, Some(Ok(()))),
            last_answer: book.last_answer,
            error: match &book.state {
                Some(Err(error)) => Some(error.to_string()),
                Some(Ok(())) => None,
                None if self.registrant.player.is_none() => {
                    Some("not registered: the daemon has no player name".into())
                }
                None => Some("not asked yet".into()),
            },
        });
        MessageResult(status.collect())
    }
}

impl Handler<Settle> for PhoneBook {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Settle, _: &mut Self::Context) -> Self::Result {
        let mut settled = self.settled.subscribe();
        Box::pin(async move {
            // An actor that is gone settles nothing any more.
            settled.wait_for(|settled| *settled).await.ok();
        })
    }
}

impl Handler<Leave> for PhoneBook {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, ctx: &mut Self::Context) -> Self::Result {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(player) = self.registrant.player.clone() else { return Box::pin(async {}) };
        let sequence = self.next_sequence();
        let body =
            Unregister::signed(player.as_str(), sequence, unix_millis(), self.registrant.identity.key());
        let answering = self.books.iter().filter(|book| matches!(book.state, Some(Ok(()))));
        let books: Vec<PhonebookHttp> = answering.map(|book| book.http.clone()).collect();
        Box::pin(async move {
            let all = futures::future::join_all(books.iter().map(|book| book.unregister(&body)));
            if tokio::time::timeout(LEAVE_TIME, all).await.is_err() {
                tracing::debug!("a phone book did not answer the goodbye in time");
            }
        })
    }
}

impl Handler<Post> for PhoneBook {
    type Result = ();

    fn handle(&mut self, post: Post, _: &mut Self::Context) {
        tracing::debug!("nothing carries {post:?}");
    }
}

impl Handler<Answer> for PhoneBook {
    type Result = ();

    fn handle(&mut self, answer: Answer, _: &mut Self::Context) {
        tracing::debug!("nobody waits for {answer:?}");
    }
}
