//! The pump between a pipe and a store: each stored record is reported, whatever the next one does.

use super::{ask::Target, inlet::Inlet, order::Order, sink::Sink, *};
use crate::io::store::StoreConfig;
use fyteclub_proto::{
    id::{BlobHash, PeerId},
    number::u32_of,
    peer::{
        Piece,
        record::{self, Header, Kind},
    },
    seal::{LinkSecret, TAG},
};
use std::time::Duration;
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    sync::mpsc,
};

/// Three of these do not fill a job.
const SIZE: usize = 40_000;
const FILES: u8 = 3;
/// Bytes that the pipe holds unread.
const PIPE: usize = 1000;

fn file(n: u8) -> Vec<u8> {
    vec![n; SIZE]
}

/// A request for a few small files, none of which has been received.
struct Pump {
    line: DuplexStream,
    nonces: NonceCounter,
    notes: mpsc::UnboundedReceiver<Note>,
    stop: CancellationToken,
    pump: tokio::task::JoinHandle<Result<Option<End>, StreamError>>,
    _folder: tempfile::TempDir,
}

impl Pump {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { cache_limit: u64::MAX, min_free: None };
        let (store, _) = Store::open(folder.path(), config).expect("a store");
        let target = |n| Target {
            piece: Piece { hash: BlobHash::of(&file(n)), tree: false, first: 0, count: 1 },
            size: u64_of(SIZE),
            ext: "tex",
            partial: None,
            owner: PeerId::from_bytes([1; 32]),
        };
        let targets: Vec<_> = (0..FILES).map(target).collect();
        let key = Arc::new(LinkSecret::new([1; 32], fyteclub_proto::seal::End::Dialer).opening(0));
        let order = Order::new(&targets, NonceCounter::new(0));
        let sink = Sink { request: 7, targets, store, key, lent: false };
        let (line, recv) = tokio::io::duplex(PIPE);
        let (told, notes) = mpsc::unbounded_channel();
        let notify: Notes = Arc::new(move |note| told.send(note).expect("heard"));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let pump = tokio::spawn(async move {
            let inlet = Inlet::new(None, 7, &notify);
            receive(recv, order, sink, &inlet, &stopped).await
        });
        Self { line, nonces: NonceCounter::new(0), notes, stop, pump, _folder: folder }
    }

    /// The next record as it is sent.
    fn record(&mut self, n: u8) -> Vec<u8> {
        let key = LinkSecret::new([1; 32], fyteclub_proto::seal::End::Acceptor).sealing(0);
        let (mut sealed, nonce) = (file(n), self.nonces.advance().expect("a nonce"));
        key.bulk().seal(nonce, &record::place(Kind::Raw, &BlobHash::of(&file(n)), 0), &mut sealed);
        assert_eq!(sealed.len(), SIZE + TAG);
        let header = Header { kind: Kind::Raw, len: u32_of(SIZE) };
        [&header.encode()[..], &sealed].concat()
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).await.expect("the pump reads");
    }

    /// Waits until this many files are reported as stored, and returns them.
    async fn stored(&mut self, many: usize) -> Vec<BlobHash> {
        let mut stored = Vec::new();
        while stored.len() < many {
            let note = tokio::time::timeout(Duration::from_secs(20), self.notes.recv()).await;
            let Some(Note::Progress { facts, .. }) = note.expect("a note in time") else {
                panic!("the store takes everything")
            };
            stored.extend(facts.into_iter().filter_map(|fact| match fact {
                Input::Verified { hash, .. } => Some(hash),
                _ => None,
            }));
        }
        stored
    }
}

#[tokio::test]
async fn stored_file_is_told_while_the_next_comes() {
    let mut pump = Pump::start();
    let (first, second, third) = (pump.record(0), pump.record(1), pump.record(2));
    let (half, rest) = second.split_at(SIZE / 2);
    pump.send(&[&first, half].concat()).await;
    assert_eq!(pump.stored(1).await, [BlobHash::of(&file(0))]);
    // The received half of the second record is kept.
    pump.send(&[rest, &third].concat()).await;
    assert_eq!(pump.stored(2).await, [BlobHash::of(&file(1)), BlobHash::of(&file(2))]);
    assert!(matches!(pump.pump.await.expect("no panic"), Ok(Some(End::Complete))));
}

#[tokio::test]
async fn stopped_in_a_record_it_keeps_those_before() {
    let mut pump = Pump::start();
    let (first, second) = (pump.record(0), pump.record(1));
    pump.send(&[&first, &second[..SIZE / 2]].concat()).await;
    pump.stop.cancel();
    assert_eq!(pump.stored(1).await, [BlobHash::of(&file(0))]);
    assert!(matches!((&mut pump.pump).await.expect("no panic"), Ok(None)), "it has no end to tell");
    assert!(pump.line.write_all(&second).await.is_err(), "nobody reads any further");
}

#[tokio::test]
async fn lie_after_a_right_record_ends_it_at_once() {
    let mut pump = Pump::start();
    let (first, mut second) = (pump.record(0), pump.record(1));
    second[SIZE / 2] ^= 1;
    pump.send(&[first, second].concat()).await;
    assert_eq!(pump.stored(1).await, [BlobHash::of(&file(0))]);
    let end = pump.pump.await.expect("no panic");
    assert!(matches!(end, Ok(Some(End::Misbehaved(CloseCode::WrongBytes)))), "{end:?}");
}
