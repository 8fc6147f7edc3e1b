//! The clients of all phone books: registrations, live connections and introductions.
//!
//! Registration and its heartbeat are here; a live connection is in `conversation` and `live`, own introductions in `reach`,
//! requests of others in `answer`, and what the log says in `logged_once`.

mod answer;
mod conversation;
mod live;
mod logged_once;
mod reach;
mod words;

pub use words::{Answer, Found, Introduction, List, LookupError, MoreCandidates, PhonebookFact, Reach};

use super::{outside::StunServer, random, traversal::Traversals, unix_millis};
use crate::{
    io::{
        book_clock::BookClock,
        identity::Identity,
        phonebook_http::{PhonebookError, PhonebookHttp},
    },
    ledger::Accounts,
    reachable::Reachable,
    sharing::means::PeerMeans,
};
use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult, Recipient,
    ResponseFuture, SpawnHandle, StreamHandler, WrapFuture,
};
use conversation::Conversation;
use futures::stream;
use fyteclub_proto::{
    id::{PeerId, PlayerName},
    letter::Attempt,
    local::reply::PhonebookStatus,
    phonebook::{KeyChange, Listing, Register, Unregister, Visibility},
    presence::{Input, Presence},
    reaching::{
        families::Families,
        introduction::{self, Introductions},
    },
};
use logged_once::{Line, Told};
use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use words::{Asking, Call, Exchange};

/// How long the last requests to all phone books together may take.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// What this daemon registers.
#[derive(Clone)]
pub struct Registrant {
    pub identity: Arc<Identity>,
    /// `None`: nothing is registered; introductions work all the same.
    pub player: Option<PlayerName>,
    pub listing: Listing,
    /// Signed changes from older keys of this player to the present one.
    pub key_changes: Vec<KeyChange>,
    /// The address of the QUIC socket.
    pub local: SocketAddr,
    pub heartbeat: Duration,
}

struct Book {
    http: PhonebookHttp,
    clock: Arc<BookClock>,
    last_answer: Option<u64>,
    /// `None` until the first attempt ended.
    state: Option<Result<(), PhonebookError>>,
    conversation: Conversation,
    told: Told,
    /// This machine's address as the phone book observes it.
    observed: Option<IpAddr>,
}

impl Book {
    fn log(&self, lines: impl IntoIterator<Item = Line>) {
        let url = self.http.url();
        for line in lines {
            match line {
                Line::Info(says) => tracing::info!("phone book {url}: {says}"),
                Line::Warn(says) => tracing::warn!("phone book {url}: {says}"),
            }
        }
    }
}

pub struct PhoneBook {
    books: Vec<Book>,
    registrant: Registrant,
    presence: Presence,
    introductions: Introductions,
    /// This daemon's introductions that are not answered yet.
    calls: HashMap<Attempt, Call>,
    /// Introductions by others, until the coordinator answers.
    asking: VecDeque<Asking>,
    /// Peers with whom candidates are exchanged at present.
    exchanges: Vec<Exchange>,
    /// Recipients of a peer's candidates that arrive after its answer.
    takers: HashMap<PeerId, Recipient<MoreCandidates>>,
    /// This machine's candidates from other sources than the phone books.
    reachable: Reachable,
    accounts: Accounts,
    outside: Recipient<StunServer>,
    traversals: Addr<Traversals>,
    means: PeerMeans,
    facts: Recipient<PhonebookFact>,
    timer: Option<SpawnHandle>,
    /// How often this machine's addresses changed.
    moves: u64,
    /// Whether the first attempt with every phone book has ended.
    settled: watch::Sender<bool>,
}

impl PhoneBook {
    /// `accounts` is charged for requests that phone books and contacts cause.
    pub fn new(
        books: Vec<PhonebookHttp>,
        registrant: Registrant,
        reachable: Reachable,
        accounts: Accounts,
        outside: Recipient<StunServer>,
        (traversals, means): (Addr<Traversals>, PeerMeans),
        facts: Recipient<PhonebookFact>,
    ) -> Self {
        let now = Instant::now();
        let registers = registrant.player.is_some();
        let registered = if registers { books.len() } else { 0 };
        let presence = Presence::new(registered, registrant.heartbeat, now);
        let settled = watch::Sender::new(books.is_empty());
        let books = books.into_iter().map(|http| Book {
            http,
            clock: Arc::default(),
            last_answer: None,
            state: None,
            conversation: Conversation::new(registrant.heartbeat, now),
            told: Told::new(registers),
            observed: None,
        });
        Self {
            books: books.collect(),
            registrant,
            presence,
            introductions: Introductions::default(),
            calls: HashMap::new(),
            asking: VecDeque::new(),
            exchanges: Vec::new(),
            takers: HashMap::new(),
            reachable,
            accounts,
            outside,
            traversals,
            means,
            facts,
            timer: None,
            moves: 0,
            settled,
        }
    }

    /// Carries out all outputs of the machines, and sets the next alarm.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(register) = self.presence.poll() {
            self.register(register.book, ctx);
        }
        for index in 0..self.books.len() {
            self.drive_conversation(index, ctx);
        }
        self.drive_introductions(ctx);
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let conversations = self.books.iter().filter_map(|book| book.conversation.deadline());
        let introductions = self.introductions.deadline().map(|(at, _)| at);
        let presence = self.presence.deadline().map(|(at, _)| at);
        if let Some(at) = conversations.chain(introductions).chain(presence).min() {
            let wait = at.saturating_duration_since(Instant::now());
            self.timer = Some(ctx.run_later(wait, |book, ctx| {
                let now = Instant::now();
                book.presence.handle(now, random(), Input::Time);
                book.introductions.handle(now, introduction::Input::Time);
                book.books.iter_mut().for_each(|book| book.conversation.time(now, random()));
                book.drive(ctx);
            }));
        }
    }

    fn register(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Registrant { identity, player, listing, key_changes, local, .. } = &self.registrant;
        let (Some(player), Some(book)) = (player, self.books.get(index)) else { return };
        let name = listing.name_of(player);
        let (sequence, time) = (book.clock.next_sequence(), book.clock.now());
        // The observed address belongs to an address family that the QUIC socket does not have.
        let unreachable = book.observed.is_some_and(|ip| !Families::of(*local).has(ip));
        let hidden = self.means.hides();
        let visibility = match listing.visibility() {
            Visibility::Listed if unreachable || hidden => Visibility::Contacts,
            visibility => visibility,
        };
        let (port, server) = (local.port(), book.http.authority());
        let mut body = Register::signed(&name, port, visibility, &server, sequence, time, identity.key());
        // A phone book that has this key for the name needs no key changes, whose signatures cost time.
        if !matches!(book.state, Some(Ok(()))) {
            body.key_changes.clone_from(key_changes);
        }
        let (http, moves) = (book.http.clone(), self.moves);
        let request = async move { http.register(&body).await };
        ctx.spawn(request.into_actor(self).map(move |result, book, ctx| {
            // The request left before this machine's addresses changed; a newer one follows.
            if book.moves != moves {
                return;
            }
            let input = match &result {
                Ok(()) => Input::Registered { book: index },
                Err(_) => Input::Failed { book: index },
            };
            book.heard(index, result);
            book.presence.handle(Instant::now(), random(), input);
            book.drive(ctx);
        }));
    }

    /// Records how a registration ended, and reports a change.
    fn heard(&mut self, index: usize, result: Result<(), PhonebookError>) {
        let Some(book) = self.books.get_mut(index) else { return };
        if result.as_ref().err().is_none_or(PhonebookError::is_answer) {
            book.last_answer = Some(unix_millis());
        }
        match &result {
            // The next registration uses the phone book's time and sequence.
            Err(PhonebookError::Clock { ahead }) => book.clock.correct(*ahead),
            Err(PhonebookError::Stale { newest }) => {
                if !book.clock.above(*newest) {
                    let url = book.http.url();
                    tracing::debug!("phone book {url} names sequence {newest}, which is ahead of the clock");
                }
            }
            Ok(()) | Err(_) => {}
        }
        let error = result.as_ref().err().map(ToString::to_string);
        let lines = book.told.registered(error.clone());
        book.log(lines);
        let changed = book.state.as_ref().map(Result::is_ok) != Some(result.is_ok());
        if changed {
            self.facts.do_send(PhonebookFact::Changed { url: book.http.url().to_owned(), error });
        }
        book.state = Some(result);
        self.settle();
    }

    fn settle(&self) {
        let registers = self.registrant.player.is_some();
        let has = |book: &Book| (book.state.is_some() || !registers) && book.conversation.was_tried();
        self.settled.send_replace(self.books.iter().all(has));
    }
}

impl Actor for PhoneBook {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let changes = stream::unfold(self.reachable.watch(), |mut watch| async move {
            watch.changed().await.ok().map(|()| (Reached, watch))
        });
        ctx.add_stream(changes);
        let hides = stream::unfold(self.means.watch(), |mut watch| async move {
            watch.changed().await.ok().map(|()| (MeansSet, watch))
        });
        ctx.add_stream(hides);
        self.drive(ctx);
    }
}

/// This machine's candidates have changed.
struct Reached;

impl StreamHandler<Reached> for PhoneBook {
    fn handle(&mut self, _: Reached, _: &mut Self::Context) {
        self.tell_more();
    }

    /// The end of this stream does not end the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}

/// A person set by which means a contact is reached.
struct MeansSet;

impl StreamHandler<MeansSet> for PhoneBook {
    fn handle(&mut self, _: MeansSet, ctx: &mut Self::Context) {
        // What is registered may show this machine's address.
        if self.registrant.listing.visibility() == Visibility::Listed {
            self.presence.handle(Instant::now(), random(), Input::Moved);
            self.drive(ctx);
        }
    }

    /// The end of this stream does not end the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}

#[derive(Message)]
#[rtype(result = "Vec<PhonebookStatus>")]
pub struct Report;

/// This machine's addresses changed: registers at once over new connections, and opens every live connection again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Moved;

/// Answered when the first registration with every phone book, and the first greeting, have succeeded or failed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Settle;

/// Unregisters the player from all phone books that answer in time.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

impl Handler<Report> for PhoneBook {
    type Result = MessageResult<Report>;

    fn handle(&mut self, _: Report, _: &mut Self::Context) -> Self::Result {
        let nameless = self.registrant.player.is_none();
        let status = self.books.iter().map(|book| PhonebookStatus {
            url: book.http.url().to_owned(),
            ok: matches!(book.state, Some(Ok(()))) || (nameless && book.conversation.is_open()),
            live: book.conversation.is_open(),
            last_answer: book.last_answer,
            error: match &book.state {
                Some(Err(error)) => Some(error.to_string()),
                Some(Ok(())) => book.conversation.trouble().map(str::to_owned),
                None if nameless => Some("not registered: the daemon has no player name".into()),
                None => Some("not asked yet".into()),
            },
        });
        MessageResult(status.collect())
    }
}

impl Handler<Moved> for PhoneBook {
    type Result = ();

    fn handle(&mut self, _: Moved, ctx: &mut Self::Context) {
        self.moves += 1;
        // Open connections may start at an address that no longer exists, and would only time out.
        match PhonebookHttp::client() {
            Ok(client) => self.books.iter_mut().for_each(|book| book.http.use_client(client.clone())),
            Err(error) => tracing::debug!("the old connections to the phone books are used: {error}"),
        }
        let now = Instant::now();
        self.presence.handle(now, random(), Input::Moved);
        self.books.iter_mut().for_each(|book| book.conversation.moved(now, random()));
        self.drive(ctx);
    }
}

impl Handler<Settle> for PhoneBook {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Settle, _: &mut Self::Context) -> Self::Result {
        let mut settled = self.settled.subscribe();
        Box::pin(async move {
            // An error: the actor has stopped.
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
        self.books.iter_mut().for_each(|book| book.conversation.end());
        let Registrant { identity, player: Some(player), listing, .. } = &self.registrant else {
            return Box::pin(async {});
        };
        let name = listing.name_of(player);
        let answering = self.books.iter().filter(|book| matches!(book.state, Some(Ok(()))));
        let unregistrations: Vec<_> = answering
            .map(|book| {
                let (sequence, time) = (book.clock.next_sequence(), book.clock.now());
                let server = book.http.authority();
                let body = Unregister::signed(&name, &server, sequence, time, identity.key());
                let http = book.http.clone();
                async move { http.unregister(&body).await }
            })
            .collect();
        Box::pin(async move {
            let all = futures::future::join_all(unregistrations);
            if tokio::time::timeout(LEAVE_TIME, all).await.is_err() {
                tracing::debug!("a phone book did not confirm in time that it unregistered this player");
            }
        })
    }
}
