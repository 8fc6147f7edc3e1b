//! One phone book's live connection: carries out its machine's outputs, and passes received messages on.

use super::{
    PhoneBook,
    words::{Introduction, PhonebookFact},
};
use crate::{
    actors::{
        outside::{StunAt, StunServer},
        random,
        server::ServerAt,
        traversal::{BookBack, Granted, Id},
    },
    io::{
        phonebook_http::PhonebookHttp,
        phonebook_live::{self, LiveEvent},
    },
};
use actix::{AsyncContext, Context, StreamHandler};
use futures::StreamExt;
use fyteclub_proto::{
    contact,
    letter::Topic,
    live::{Input, Output},
    phonebook::{
        RelayGrant, RelayRefusal,
        live::{Hear, Hello, Say, Udp, host_and_port},
    },
    presence,
    reaching::{
        candidate::{Teller, Vantage},
        introduction,
    },
};
use std::time::{Duration, Instant};

/// An event of a live connection.
pub struct Came {
    book: usize,
    number: u64,
    heard: LiveEvent,
}

impl PhoneBook {
    pub(super) fn drive_conversation(&mut self, index: usize, ctx: &mut Context<Self>) {
        while let Some(output) = self.books.get_mut(index).and_then(|book| book.conversation.machine.poll()) {
            let now = Instant::now();
            let Some(book) = self.books.get_mut(index) else { return };
            match output {
                Output::Connect(transport) => {
                    let conversation = &mut book.conversation;
                    conversation.number += 1;
                    let number = conversation.number;
                    let identity = self.registrant.identity.clone();
                    let (connection, heard) =
                        phonebook_live::connect(book.http.clone(), transport, identity, book.clock.clone());
                    let came = heard.map(move |heard| Came { book: index, number, heard });
                    if let Some((_, stream)) =
                        conversation.connection.replace((connection, ctx.add_stream(came)))
                    {
                        ctx.cancel_future(stream);
                    }
                }
                Output::Greet(nonce) => {
                    let key = self.registrant.identity.key();
                    let hello = Hello::signed(&book.http.authority(), nonce, book.clock.now(), key);
                    if let Some((connection, _)) = &book.conversation.connection {
                        connection.say(Say::Hello(hello));
                    }
                }
                Output::SayHere => {
                    if let Some((connection, _)) = &book.conversation.connection {
                        connection.say(Say::Here);
                    }
                }
                Output::Probe => {
                    if let Some((connection, _)) = &book.conversation.connection {
                        connection.probe();
                    }
                }
                Output::Up { welcome, missed } => {
                    tracing::info!("phone book {}: the live connection is open", book.http.url());
                    book.told.up();
                    book.conversation.trouble = None;
                    book.conversation.tried = true;
                    let moved = book.observed.replace(welcome.address) != Some(welcome.address);
                    let (http, vantage) = (book.http.clone(), self.vantage(index, false));
                    let server = stun_at(index, &http, vantage, welcome.udp.as_ref());
                    self.outside.do_send(StunServer::At(server));
                    self.presence.handle(now, random(), presence::Input::Up { book: index });
                    self.introductions.handle(now, introduction::Input::Up { book: index, missed });
                    self.facts.do_send(PhonebookFact::Received(contact::Input::Connected));
                    self.traversals.do_send(BookBack(http.url().to_owned()));
                    self.settle();
                    if moved {
                        self.tell_more();
                    }
                    while let Some(register) = self.presence.poll() {
                        self.register(register.book, ctx);
                    }
                }
                Output::Down(says) => {
                    let line = book.told.down(&says);
                    book.log(line);
                    book.conversation.trouble = Some(says);
                    book.conversation.tried = true;
                    self.outside.do_send(StunServer::Away(index));
                    self.presence.handle(now, random(), presence::Input::Down { book: index });
                    let coming = book.conversation.is_coming(now);
                    self.introductions.handle(now, introduction::Input::Down { book: index, coming });
                    self.settle();
                }
                Output::ClockAhead(ahead) => book.clock.correct(ahead),
                Output::HangUp => {
                    if let Some((_, stream)) = book.conversation.connection.take() {
                        ctx.cancel_future(stream);
                    }
                }
            }
        }
    }

    fn hear(&mut self, index: usize, hear: Hear) {
        let now = Instant::now();
        let key = self.registrant.identity.key();
        match hear {
            Hear::Accepted { from, attempt, letter, same_network } => {
                let introduction = Introduction { book: index, attempt };
                match letter.open(&from, key, Topic::Accept(attempt)) {
                    Ok(text) => self.accepted(introduction, from, same_network, &text),
                    Err(error) => tracing::debug!("an acceptance cannot be decrypted: {error}"),
                }
            }
            Hear::Unavailable { attempt } => {
                self.introductions.handle(now, introduction::Input::Unavailable { book: index, attempt });
            }
            Hear::Limited { attempt: Some(attempt), retry_after } => {
                let retry_after = Duration::from_secs(retry_after);
                let limited = introduction::Input::Limited { book: index, attempt, retry_after };
                self.introductions.handle(now, limited);
            }
            Hear::Go { peer, attempt, delay_ms, relay, relay_refused, same_network } => {
                let delay = Duration::from_millis(delay_ms);
                if same_network {
                    self.together(Introduction { book: index, attempt }, peer);
                }
                self.granted(index, Id { peer, attempt }, relay, relay_refused);
                self.introductions.handle(now, introduction::Input::Go { peer, attempt, delay });
            }
            Hear::Introduced { from, attempt, letter } => {
                let introduction = Introduction { book: index, attempt };
                match letter.open(&from, key, Topic::Introduce(attempt)) {
                    Ok(text) => self.introduced(introduction, from, &text),
                    Err(error) => tracing::debug!("an introduction cannot be decrypted: {error}"),
                }
            }
            Hear::Candidates { from, attempt, letter } => {
                match letter.open(&from, key, Topic::Candidates(attempt)) {
                    Ok(text) => self.more_candidates(index, from, attempt, &text),
                    Err(error) => tracing::debug!("a letter with candidates cannot be decrypted: {error}"),
                }
            }
            Hear::Knock { to, knock } => self.knocked(&to, knock),
            Hear::Note { from, letter } => match letter.open(&from, key, Topic::Note) {
                Ok(text) => self.noted(from, &text),
                Err(error) => tracing::debug!("a note cannot be decrypted: {error}"),
            },
            other @ (Hear::Challenge { .. } | Hear::Welcome(_) | Hear::Restarting { .. }) => {
                if let Some(book) = self.books.get_mut(index) {
                    book.conversation.machine.handle(now, random(), Input::Received(other));
                }
            }
            Hear::Limited { attempt: None, retry_after } => {
                tracing::debug!("the phone book limits this daemon's requests for {retry_after} s");
            }
            _ => {}
        }
    }
}

impl PhoneBook {
    /// What the phone book says of a relay for an introduction.
    fn granted(&mut self, index: usize, id: Id, relay: Option<RelayGrant>, refused: Option<RelayRefusal>) {
        let vantage = self.vantage(index, false);
        let Some(book) = self.books.get(index) else { return };
        let grant = match relay {
            Some(grant) => {
                let at = server_at(&book.http, vantage, grant.address.as_deref());
                Ok((grant, at, book.http.clone()))
            }
            None => Err(refused.map(|refused| refused.limit)),
        };
        self.traversals.do_send(Granted { id, grant });
    }
}

/// The address of the phone book's STUN server, as the phone book names it.
fn stun_at(book: usize, http: &PhonebookHttp, vantage: Vantage, udp: Option<&Udp>) -> StunAt {
    let told = udp.and_then(|udp| udp.address.as_deref());
    StunAt { book, at: server_at(http, vantage, told), ports: udp.map_or(0, |udp| udp.stun_ports) }
}

/// `told`: the phone book's word for `HOST:PORT`.
fn server_at(http: &PhonebookHttp, vantage: Vantage, told: Option<&str>) -> ServerAt {
    let told = told.and_then(host_and_port);
    let teller = if told.is_some() { Teller::PhoneBook } else { Teller::Person };
    let (host, port) = told.map_or_else(|| http.host_and_port(), |(host, port)| (host.to_owned(), port));
    ServerAt { host, port, teller, vantage }
}

impl StreamHandler<Came> for PhoneBook {
    fn handle(&mut self, came: Came, ctx: &mut Self::Context) {
        let Came { book: index, number, heard } = came;
        let Some(book) = self.books.get_mut(index) else { return };
        if book.conversation.number != number {
            return;
        }
        match heard {
            LiveEvent::Message(hear) => {
                book.conversation.alive();
                self.hear(index, hear);
            }
            LiveEvent::Alive => book.conversation.alive(),
            LiveEvent::Lost(lost) => {
                tracing::debug!("phone book {}: {lost:?}", book.http.url());
                book.conversation.connection = None;
                book.conversation.machine.handle(Instant::now(), random(), Input::Lost(lost));
            }
        }
        self.drive(ctx);
    }

    /// The end of one connection's stream does not end the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}
