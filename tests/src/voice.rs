//! A hostile peer's own conversation with a phone book: hears and says what it likes, by hand.

use crate::{Phonebook, hostile::Hostile, within};
use ed25519_dalek::SigningKey;
use futures::{Stream, StreamExt};
use fyteclub_client::PeerId;
use fyteclub_daemon::io::{
    book_clock::BookClock,
    identity::Identity,
    phonebook_http::PhonebookHttp,
    phonebook_live::{self, Connection, Heard},
    wall_clock::unix_millis,
};
use fyteclub_proto::{
    letter::{Letter, Topic},
    live::Transport,
    phonebook::live::{Hear, Hello, Say},
};
use std::{path::Path, pin::Pin, sync::Arc};

pub struct Voice {
    connection: Connection,
    heard: Pin<Box<dyn Stream<Item = Heard>>>,
    key: SigningKey,
}

impl Voice {
    /// Greets as `hostile`; `scratch` is a folder of its own.
    ///
    /// # Panics
    /// When it is not welcome.
    pub async fn greet(hostile: &Hostile, phonebook: &Phonebook, scratch: &Path) -> Self {
        let http =
            PhonebookHttp::new(&phonebook.url(), PhonebookHttp::client().expect("TLS")).expect("a URL");
        // Only polls are signed by it, and this speaks over a socket.
        std::fs::create_dir_all(scratch).expect("a folder");
        let unused = Identity::load_or_create(&scratch.join("unused.key")).expect("an identity");
        let server = http.authority();
        let clock: Arc<BookClock> = Arc::default();
        let (connection, heard) =
            phonebook_live::connect(http, Transport::WebSocket, Arc::new(unused), clock);
        let mut voice = Self { connection, heard: Box::pin(heard), key: hostile.key.clone() };
        let Hear::Challenge { nonce, .. } = voice.hear().await else { panic!("no challenge") };
        voice.say(Say::Hello(Hello::signed(&server, nonce, unix_millis(), &voice.key)));
        assert!(matches!(voice.hear().await, Hear::Welcome(_)));
        voice
    }

    /// # Panics
    /// When nothing more comes.
    pub async fn hear(&mut self) -> Hear {
        match within("a phone book speaks", self.heard.next()).await {
            Some(Heard::Message(hear)) => hear,
            other => panic!("the conversation is over: {other:?}"),
        }
    }

    pub fn say(&self, say: Say) {
        assert!(self.connection.say(say), "the conversation is over");
    }

    /// Seals a text to a key.
    ///
    /// # Panics
    /// For what is too long.
    pub fn letter(&self, to: &PeerId, topic: Topic, text: &[u8]) -> Letter {
        Letter::seal(&self.key, to, topic, text, [9; 32].into()).expect("a letter")
    }
}
