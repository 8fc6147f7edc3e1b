//! A phone book's live conversation, at the daemon's end: the machine, and its connection.

use crate::{actors::random, io::phonebook_live::Connection};
use actix::SpawnHandle;
use fyteclub_proto::{
    live::{Input, Live},
    phonebook::live::Say,
};
use std::time::{Duration, Instant};

pub(super) struct Conversation {
    pub(super) machine: Live,
    pub(super) connection: Option<(Connection, SpawnHandle)>,
    /// The machine's connection: messages of an older one do not count.
    pub(super) number: u64,
    /// Why there is none.
    pub(super) trouble: Option<String>,
    pub(super) tried: bool,
}

impl Conversation {
    pub(super) fn new(heartbeat: Duration, now: Instant) -> Self {
        Self { machine: Live::new(heartbeat, now), connection: None, number: 0, trouble: None, tried: false }
    }

    pub(super) fn is_open(&self) -> bool {
        self.machine.is_open()
    }

    /// Whether the first attempt has ended, successfully or not.
    pub(super) fn was_tried(&self) -> bool {
        self.tried
    }

    /// Why introductions do not work, as one sentence.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.machine.deadline().map(|(at, _)| at)
    }

    /// Whether it may be open soon.
    pub(super) fn is_coming(&self, now: Instant) -> bool {
        self.machine.is_coming(now)
    }

    /// A peer is wanted.
    pub(super) fn want(&mut self, now: Instant, jitter: f64) {
        self.machine.handle(now, jitter, Input::Wanted);
    }

    pub(super) fn time(&mut self, now: Instant, jitter: f64) {
        self.machine.handle(now, jitter, Input::Time);
    }

    /// The phone book sent something.
    pub(super) fn alive(&mut self) {
        self.machine.handle(Instant::now(), random(), Input::Alive);
    }

    /// Messages over the old address do not arrive.
    pub(super) fn moved(&mut self, now: Instant, jitter: f64) {
        self.machine.handle(now, jitter, Input::Moved);
    }

    /// Sends a message if there is a connection; whether it arrives is not known.
    pub(super) fn say(&mut self, say: Say) -> bool {
        let Some((connection, _)) = self.connection.as_ref().filter(|_| self.machine.is_open()) else {
            return false;
        };
        self.machine.handle(Instant::now(), random(), Input::Said);
        connection.say(say)
    }

    /// Ends the conversation for good.
    pub(super) fn end(&mut self) {
        self.connection = None;
    }
}
