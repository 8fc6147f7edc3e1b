//! The phone books: registers with all of them, holds a live conversation with each, and has itself introduced.
//!
//! Registration and its heartbeat are here; a book's conversation is in `conversation` and `live`, finding a peer in `reach`, what
//! others want of us in `answer`.

mod answer;
mod conversation;
mod live;
mod reach;
mod told;
mod words;

pub use words::{Answer, Introduction, List, LookupError, MoreCandidates, PhonebookFact, Reach};

use super::{outside::StunServer, random, unix_millis};
use crate::{
    io::{
        book_clock::BookClock,
        identity::Identity,
        phonebook_http::{PhonebookError, PhonebookHttp},
    },
    ledger::Accounts,
    reachable::Reachable,
};
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, Recipient, ResponseFuture,
    SpawnHandle, StreamHandler, WrapFuture,
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
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use told::{Line, Told};
use words::{Call, Exchange};

/// How long leaving may take, for all phone books together.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// Who this daemon is to a phone book.
#[derive(Clone)]
pub struct Registrant {
    pub identity: Arc<Identity>,
    /// Without a name there is nothing to register; introductions work all the same.
    pub player: Option<PlayerName>,
    pub listing: Listing,
    /// From older keys of this player to this one.
    pub key_changes: Vec<KeyChange>,
    /// The QUIC socket.
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
    /// Where this phone book sees us.
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
    /// Our own calls, until they are answered.
    calls: HashMap<Attempt, Call>,
    /// Those with whom addresses are exchanged at the moment.
    exchanges: Vec<Exchange>,
    /// Who takes addresses of a peer that are learnt after an answer.
    takers: HashMap<PeerId, Recipient<MoreCandidates>>,
    /// How this machine can be reached, beside what the phone books say of it.
    reachable: Reachable,
    accounts: Accounts,
    outside: Recipient<StunServer>,
    facts: Recipient<PhonebookFact>,
    timer: Option<SpawnHandle>,
    /// How often this machine's addresses changed.
    moves: u64,
    /// Whether every phone book has answered, or failed to, once.
    settled: watch::Sender<bool>,
}

impl PhoneBook {
    /// What phone books and contacts have this machine send is charged to `accounts`.
    pub fn new(
        books: Vec<PhonebookHttp>,
        registrant: Registrant,
        reachable: Reachable,
        accounts: Accounts,
        outside: Recipient<StunServer>,
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
            exchanges: Vec::new(),
            takers: HashMap::new(),
            reachable,
            accounts,
            outside,
            facts,
            timer: None,
            moves: 0,
            settled,
        }
    }

    /// Acts on everything the machines have to say, and sets the next alarm.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(register) = self.presence.poll() {
            self.register(register.book, ctx);
        }
        for index in 0..self.books.len() {
            self.drive_conversation(index, ctx);
        }
        self.drive_introductions();
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
        // Where the phone book sees us nobody could dial a socket of the other address family.
        let unreachable = book.observed.is_some_and(|ip| !Families::of(*local).has(ip));
        let visibility = match listing.visibility() {
            Visibility::Listed if unreachable => Visibility::Contacts,
            visibility => visibility,
        };
        let (port, server) = (local.port(), book.http.authority());
        let mut body = Register::signed(&name, port, visibility, &server, sequence, time, identity.key());
        // Who has taken this key for the name needs no word of older ones, and no signatures to check.
        if !matches!(book.state, Some(Ok(()))) {
            body.key_changes.clone_from(key_changes);
        }
        let (http, moves) = (book.http.clone(), self.moves);
        let request = async move { http.register(&body).await };
        ctx.spawn(request.into_actor(self).map(move |result, book, ctx| {
            // Said from an address that is gone; it was said again since.
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

    /// Notes how a phone book answered a registration, and says so when that changed.
    fn heard(&mut self, index: usize, result: Result<(), PhonebookError>) {
        let Some(book) = self.books.get_mut(index) else { return };
        match &result {
            Ok(()) => book.last_answer = Some(unix_millis()),
            // The next registration is dated and numbered as the phone book wants it.
            Err(PhonebookError::Clock { ahead }) => book.clock.correct(*ahead),
            Err(PhonebookError::Stale { newest }) => {
                if !book.clock.above(*newest) {
                    let url = book.http.url();
                    tracing::debug!("phone book {url} names sequence {newest}, which is ahead of the clock");
                }
            }
            Err(_) => {}
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
        self.drive(ctx);
    }
}

/// This machine can be reached in other ways than before.
struct Reached;

impl StreamHandler<Reached> for PhoneBook {
    fn handle(&mut self, _: Reached, _: &mut Self::Context) {
        self.tell_more();
    }

    /// The actor outlives what it is told.
    fn finished(&mut self, _: &mut Self::Context) {}
}

#[derive(Message)]
#[rtype(result = "Vec<PhonebookStatus>")]
pub struct Report;

/// This machine's addresses changed: registers at once, over new connections, and begins every conversation anew.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Moved;

/// Answered when the first registration and the first greeting with every phone book have come to an end, good or bad.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Settle;

/// Takes the player off all phone books that can be reached in time.
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
        // Those that are kept open lead from an address that may be gone, and would be waited for in vain.
        match PhonebookHttp::client() {
            Ok(client) => self.books.iter_mut().for_each(|book| book.http.use_client(client.clone())),
            Err(error) => tracing::debug!("the phone books are asked over the old connections: {error}"),
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
        self.books.iter_mut().for_each(|book| book.conversation.end());
        let Registrant { identity, player: Some(player), listing, .. } = &self.registrant else {
            return Box::pin(async {});
        };
        let name = listing.name_of(player);
        let answering = self.books.iter().filter(|book| matches!(book.state, Some(Ok(()))));
        let goodbyes: Vec<_> = answering
            .map(|book| {
                let (sequence, time) = (book.clock.next_sequence(), book.clock.now());
                let server = book.http.authority();
                let body = Unregister::signed(&name, &server, sequence, time, identity.key());
                let http = book.http.clone();
                async move { http.unregister(&body).await }
            })
            .collect();
        Box::pin(async move {
            let all = futures::future::join_all(goodbyes);
            if tokio::time::timeout(LEAVE_TIME, all).await.is_err() {
                tracing::debug!("a phone book did not answer the goodbye in time");
            }
        })
    }
}
