//! A hostile peer's live connection to a phone book, driven by hand.

use crate::{Phonebook, hostile::Hostile, unix_millis, within};
use ed25519_dalek::SigningKey;
use futures::{SinkExt, StreamExt, stream::SplitStream};
use fyteclub_client::PeerId;
use fyteclub_proto::{
    letter::{Letter, Topic},
    phonebook::live::{Hear, Hello, Say},
};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct Voice {
    say: mpsc::UnboundedSender<Say>,
    heard: SplitStream<Socket>,
    key: SigningKey,
}

impl Voice {
    /// Greets as `hostile`.
    ///
    /// # Panics It is refused.
    pub async fn greet(hostile: &Hostile, phonebook: &Phonebook) -> Self {
        let url = phonebook.url();
        let server = url.rsplit('/').next().expect("the last part");
        let (socket, _) = connect_async(format!("ws://{server}/api/live")).await.expect("a WebSocket");
        let (mut sink, heard) = socket.split();
        let (say, mut said) = mpsc::unbounded_channel::<Say>();
        tokio::spawn(async move {
            while let Some(say) = said.recv().await {
                let text = serde_json::to_string(&say).expect("JSON");
                if sink.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
        });
        let mut voice = Self { say, heard, key: hostile.key.clone() };
        let Hear::Challenge { nonce, .. } = voice.hear().await else { panic!("no challenge") };
        voice.say(Say::Hello(Hello::signed(server, nonce, unix_millis(), &voice.key)));
        assert!(matches!(voice.hear().await, Hear::Welcome(_)));
        voice
    }

    /// # Panics The connection is over.
    pub async fn hear(&mut self) -> Hear {
        loop {
            match within("a phone book speaks", self.heard.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("its own words"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the conversation is over: {other:?}"),
            }
        }
    }

    /// # Panics The connection is over.
    pub fn say(&self, say: Say) {
        assert!(self.say.send(say).is_ok(), "the conversation is over");
    }

    /// Seals a text to a key.
    ///
    /// # Panics It is too long.
    pub fn letter(&self, to: &PeerId, topic: Topic, text: &[u8]) -> Letter {
        Letter::seal(&self.key, to, topic, text, [9; 32].into()).expect("a letter")
    }
}
