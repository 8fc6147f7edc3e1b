//! The state machine under virtual time; `model` compares it with a plain model.

mod model;

use super::*;
use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    bytes::Bytes,
    letter::Topic,
    limit::{INTRODUCTIONS_MAX, LIVE_QUEUE_MAX},
};
use std::{collections::BTreeMap, sync::LazyLock};

const MS: Duration = Duration::from_millis(1);

static LETTER: LazyLock<Letter> = LazyLock::new(|| {
    let key = SigningKey::from_bytes(&[1; 32]);
    Letter::seal(&key, &PeerId::of(&key), Topic::Note, b"", [7; 32].into()).unwrap()
});

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn attempt(number: u8) -> Attempt {
    Bytes([number; 16])
}

/// Delivers all parcels to itself.
struct Board {
    board: Signaling,
    now: Instant,
    clients: u64,
    closed: Vec<(ClientId, CloseReason, VecDeque<Hear>)>,
    pinged: Vec<ClientId>,
    outcomes: Vec<Outcome>,
}

impl Board {
    fn new() -> Self {
        let board = Signaling::default();
        Self {
            board,
            now: Instant::now(),
            clients: 0,
            closed: Vec::new(),
            pinged: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    fn hand(&mut self, input: Input) {
        self.board.handle(self.now, input);
        while let Some(output) = self.board.poll() {
            match output {
                Output::Wake { client } => assert!(self.board.has_messages(client)),
                Output::Ping { client } => self.pinged.push(client),
                Output::Close { client, last, reason, .. } => self.closed.push((client, reason, last)),
                // Names resolve to the peer of that number.
                Output::Resolve { name, pending } => {
                    let callee = name.parse().ok().map(peer);
                    self.board.handle(self.now, Input::Resolved { pending, callee });
                }
                Output::Outcome(outcome) => self.outcomes.push(outcome),
                Output::Grant(going) => {
                    self.board.handle(self.now, Input::Granted { going, relay: Ok(None) });
                }
                Output::Deliver { to, parcel } => {
                    self.board.handle(self.now, Input::Delivered { to, parcel });
                }
            }
        }
    }

    fn arrives(&mut self, number: u8, transport: Transport) -> ClientId {
        self.clients += 1;
        let client = ClientId(self.clients);
        self.hand(Input::Arrived {
            client,
            key: peer(number),
            transport,
            network: Network::V4(number.into()),
        });
        client
    }

    fn sees(&mut self, client: ClientId, address: &str) {
        self.hand(Input::Seen { client, address: address.parse().expect("an address") });
    }

    fn says(&mut self, client: ClientId, say: Say) {
        self.hand(Input::Said { client, say });
    }

    fn introduces(&mut self, client: ClientId, to: Callee, number: u8) {
        self.says(client, Say::Introduce { to, attempt: attempt(number), letter: LETTER.clone() });
    }

    fn accepts(&mut self, client: ClientId, to: u8, number: u8) {
        let say = Say::Accept { to: peer(to), attempt: attempt(number), letter: LETTER.clone() };
        self.says(client, say);
    }

    fn candidates(&mut self, client: ClientId, to: u8, number: u8) {
        let say = Say::Candidates { to: peer(to), attempt: attempt(number), letter: LETTER.clone() };
        self.says(client, say);
    }

    fn waits(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((due, _)) = self.board.deadline().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.hand(Input::Time);
        }
        self.now = end;
        self.hand(Input::Time);
    }

    fn hears(&mut self, client: ClientId) -> Vec<Hear> {
        std::iter::from_fn(|| self.board.take(client)).collect()
    }
}

#[test]
fn callee_back_in_time_is_introduced() {
    let mut board = Board::new();
    let caller = board.arrives(1, Transport::Socket);
    board.introduces(caller, Callee::Key(peer(2)), 7);
    board.waits(ANSWER_TIME - MS);
    let callee = board.arrives(2, Transport::Socket);
    assert!(matches!(board.hears(callee)[..], [Hear::Introduced { .. }]));
    board.accepts(callee, 1, 7);
    assert!(matches!(board.hears(caller)[..], [Hear::Accepted { .. }, Hear::Go { .. }]));
    // A moment later it is over, and is forwarded once.
    board.introduces(caller, Callee::Key(peer(3)), 8);
    board.waits(ANSWER_TIME);
    let late = board.arrives(3, Transport::Socket);
    assert_eq!(board.hears(late), []);
    assert_eq!(board.hears(caller), [Hear::Unavailable { attempt: attempt(8) }]);
    assert!(board.board.awaited.is_empty());
}

#[test]
fn held_introductions_are_bounded() {
    let mut board = Board::new();
    let callers = AWAITED_MAX / INTRODUCTIONS_MAX + 1;
    for caller in 0..callers {
        let client = board.arrives(u8::try_from(caller).expect("few"), Transport::Socket);
        for number in 0..INTRODUCTIONS_MAX {
            board.introduces(client, Callee::Key(peer(255)), u8::try_from(number).expect("few"));
        }
    }
    assert_eq!(board.board.awaited.len(), AWAITED_MAX);
    board.waits(ANSWER_TIME);
    board.arrives(255, Transport::Socket);
    assert!(board.board.awaited.is_empty());
}

#[test]
fn unanswered_introductions_look_alike() {
    let mut board = Board::new();
    let [caller, declines, silent] = [1, 2, 3].map(|number| board.arrives(number, Transport::Socket));
    let callees = [
        Callee::Key(peer(2)),
        Callee::Key(peer(3)),
        Callee::Key(peer(99)),
        Callee::Key(peer(1)),
        Callee::Name("nobody".into()),
        Callee::Name("3".into()),
    ];
    for (number, callee) in callees.into_iter().enumerate() {
        board.introduces(caller, callee, number as u8);
    }
    board.says(declines, Say::Decline { to: peer(1), attempt: attempt(0) });
    assert_eq!(board.hears(declines).len(), 1);
    assert_eq!(board.hears(silent).len(), 2);
    board.waits(ANSWER_TIME - MS);
    assert_eq!(board.hears(caller), []);
    board.waits(MS);
    let unavailable = (0..6).map(|number| Hear::Unavailable { attempt: attempt(number) });
    assert_eq!(board.hears(caller), unavailable.collect::<Vec<_>>());
    let count = |outcome| board.outcomes.iter().filter(|known| **known == outcome).count();
    assert_eq!([Outcome::Asked, Outcome::Declined, Outcome::Unanswered].map(count), [6, 1, 5]);
    // Later answers have no effect.
    board.accepts(silent, 1, 1);
    board.waits(ANSWER_TIME);
    assert_eq!((board.hears(caller), board.hears(silent)), (vec![], vec![]));
    assert!(board.board.attempts.is_empty());
}

#[test]
fn both_begin_at_the_same_moment() {
    let mut board = Board::new();
    let [caller, callee] = [1, 2].map(|number| board.arrives(number, Transport::Socket));
    board.hand(Input::RoundTrip { client: caller, time: 40 * MS });
    board.hand(Input::RoundTrip { client: callee, time: 300 * MS });
    board.introduces(caller, Callee::Key(peer(2)), 5);
    board.accepts(callee, 1, 5);
    let go = |peer, delay_ms| Hear::Go {
        peer,
        attempt: attempt(5),
        delay_ms,
        relay: None,
        relay_refused: None,
        same_network: false,
    };
    assert_eq!(board.hears(caller)[1], go(peer(2), 130));
    assert_eq!(board.hears(callee)[1], go(peer(1), 0));
    board.hand(Input::RoundTrip { client: callee, time: 60_000 * MS });
    board.introduces(caller, Callee::Key(peer(2)), 6);
    board.accepts(callee, 1, 6);
    assert!(matches!(board.hears(caller)[1], Hear::Go { delay_ms: 480, .. }));
}

#[test]
fn only_the_callee_answers_and_only_once() {
    let mut board = Board::new();
    let [caller, callee, third] = [1, 2, 3].map(|number| board.arrives(number, Transport::Socket));
    board.introduces(caller, Callee::Key(peer(2)), 5);
    board.accepts(third, 1, 5);
    board.candidates(third, 1, 5);
    board.candidates(callee, 1, 5);
    board.candidates(caller, 2, 5);
    assert_eq!(board.hears(caller), []);
    assert_eq!(board.hears(callee).len(), 1, "the introduction and nothing yet");
    board.accepts(callee, 1, 5);
    board.accepts(callee, 1, 5);
    assert_eq!(board.hears(caller).len(), 2);
    assert_eq!(board.hears(callee).len(), 1);
    for _ in 0..20 {
        board.candidates(caller, 2, 5);
        board.candidates(callee, 1, 5);
        board.candidates(caller, 3, 5);
        board.candidates(third, 1, 5);
    }
    assert_eq!((board.hears(caller).len(), board.hears(callee).len()), (8, 8));
    assert_eq!(board.hears(third), []);
    board.waits(ANSWER_TIME);
    assert_eq!(board.hears(caller), [], "it was answered");
}

#[test]
fn candidates_are_carried_for_their_time() {
    let mut board = Board::new();
    let [caller, callee] = [1, 2].map(|number| board.arrives(number, Transport::Socket));
    board.introduces(caller, Callee::Key(peer(2)), 5);
    board.accepts(callee, 1, 5);
    board.waits(INTRODUCTION_TIME - MS);
    board.hears(caller);
    board.hears(callee);
    board.candidates(caller, 2, 5);
    assert_eq!(board.hears(callee).len(), 1);
    board.waits(MS);
    board.candidates(callee, 1, 5);
    assert_eq!(board.hears(caller), []);
    assert!(board.board.attempts.is_empty());
}

#[test]
fn a_caller_has_so_many_under_way() {
    let mut board = Board::new();
    let caller = board.arrives(1, Transport::Socket);
    for number in 0..=INTRODUCTIONS_MAX as u8 {
        board.introduces(caller, Callee::Key(peer(9)), number);
        board.introduces(caller, Callee::Key(peer(9)), 0);
    }
    let attempt = Some(attempt(INTRODUCTIONS_MAX as u8));
    assert_eq!(board.hears(caller), [Hear::Limited { attempt, retry_after: 2 }]);
    board.waits(ANSWER_TIME);
    assert_eq!(board.hears(caller).len(), INTRODUCTIONS_MAX);
    board.introduces(caller, Callee::Key(peer(9)), 0);
    assert_eq!(board.hears(caller), []);
}

#[test]
fn silent_client_is_dropped_and_active_one_stays() {
    let mut board = Board::new();
    let [silent, speaks] = [1, 2].map(|number| board.arrives(number, Transport::Socket));
    board.waits(PRESENCE_LIFE - MS);
    board.says(speaks, Say::Here);
    assert_eq!(board.closed, []);
    board.waits(MS);
    assert_eq!(board.closed, [(silent, CloseReason::Silent, VecDeque::new())]);
    assert_eq!(board.board.len(), 1);
    board.waits(PRESENCE_LIFE);
    assert_eq!(board.board.len(), 0);
    board.waits(PRESENCE_LIFE);
    assert_eq!(board.board.deadline(), None, "nothing is left of them");
    assert_eq!(board.pinged.iter().filter(|client| **client == silent).count(), 4);
}

#[test]
fn newest_client_of_a_key_gets_the_queue() {
    let mut board = Board::new();
    let [old, writer] = [1, 2].map(|number| board.arrives(number, Transport::Socket));
    board.says(writer, Say::Note { to: peer(1), letter: LETTER.clone() });
    let new = board.arrives(1, Transport::Polls);
    assert_eq!(board.closed, [(old, CloseReason::Replaced, VecDeque::new())]);
    assert_eq!((board.hears(old).len(), board.hears(new).len()), (0, 1));
    board.hand(Input::Left { client: old });
    assert_eq!(board.board.present(&peer(1)), Some((new, Transport::Polls)));
    board.arrives(1, Transport::Polls);
    assert_eq!(board.board.present(&peer(1)), Some((new, Transport::Polls)), "polls follow polls");
    board.arrives(1, Transport::Socket);
    assert_eq!(board.closed.len(), 2);
    board.says(new, Say::Note { to: peer(2), letter: LETTER.clone() });
    assert_eq!(board.hears(writer), [], "who was replaced says nothing");
}

#[cfg(feature = "redis")]
#[test]
fn greeting_elsewhere_closes_here_and_moves_the_queue() {
    let mut board = Board::new();
    let [old, writer] = [1, 2].map(|number| board.arrives(number, Transport::Socket));
    board.says(writer, Say::Note { to: peer(1), letter: LETTER.clone() });
    let stale = ClientId(77);
    board.hand(Input::Moved { key: peer(1), client: stale });
    assert_eq!(board.closed, [], "another connection than the one that is here");
    board.board.handle(board.now, Input::Moved { key: peer(1), client: old });
    let outputs: Vec<Output> = std::iter::from_fn(|| board.board.poll()).collect();
    let note = Hear::Note { from: peer(2), letter: LETTER.clone() };
    assert!(
        matches!(&outputs[..], [
            Output::Close { client, reason: CloseReason::Replaced, .. },
            Output::Deliver { to, parcel: Parcel::Hear(hear) },
        ] if *client == old && *to == peer(1) && *hear == note),
        "{outputs:?}"
    );
    assert_eq!(board.board.present(&peer(1)), None);
}

#[test]
fn client_that_does_not_read_is_closed() {
    let mut board = Board::new();
    let [deaf, writer] = [1, 2].map(|number| board.arrives(number, Transport::Socket));
    let note = || Say::Note { to: peer(1), letter: LETTER.clone() };
    (0..=LIVE_QUEUE_MAX).for_each(|_| board.says(writer, note()));
    board.waits(READ_TIME - MS);
    assert_eq!(board.closed, []);
    board.waits(MS);
    assert_eq!(board.closed, [(deaf, CloseReason::TooSlow, VecDeque::new())]);
    assert_eq!(board.hears(writer), []);
}

#[test]
fn strangers_messages_close_no_client() {
    let mut board = Board::new();
    let [reader, stranger] = [1, 2].map(|number| board.arrives(number, Transport::Socket));
    let note = || Say::Note { to: peer(1), letter: LETTER.clone() };
    for _ in 0..3 {
        // All before the reader reads.
        (0..2 * LIVE_QUEUE_MAX).for_each(|_| board.says(stranger, note()));
        board.waits(READ_TIME / 2);
        assert_eq!(board.hears(reader).len(), LIVE_QUEUE_MAX);
        board.waits(READ_TIME / 2);
    }
    assert_eq!(board.closed, []);
}

#[test]
fn after_a_stop_they_come_back_one_by_one() {
    let mut board = Board::new();
    for number in 0..200 {
        board.arrives(number, Transport::Socket);
    }
    board.hand(Input::Stop);
    let mut times: Vec<u64> = board
        .closed
        .iter()
        .map(|(_, reason, last)| match last.back() {
            Some(Hear::Restarting { after_ms }) if *reason == CloseReason::Restart => *after_ms,
            other => panic!("{other:?}"),
        })
        .collect();
    times.sort_unstable();
    assert_eq!(times.len(), 200);
    assert!(times.windows(2).all(|two| two[0] < two[1]), "each at a time of its own");
    assert!(times[199] - times[0] >= 990 && times[199] < 1500, "{times:?}");
    assert_eq!(board.board.len(), 0);
}

#[test]
fn ends_at_one_address_are_marked_together() {
    for (caller_at, callee_at, near) in [
        ("203.0.113.7", "203.0.113.7", true),
        ("203.0.113.7", "203.0.113.8", false),
        ("127.0.0.1", "192.168.1.3", true),
        ("203.0.113.7", "192.168.1.3", false),
    ] {
        let mut board = Board::new();
        let (caller, callee) = (board.arrives(1, Transport::Socket), board.arrives(2, Transport::Polls));
        board.sees(caller, caller_at);
        board.sees(callee, callee_at);
        board.introduces(caller, Callee::Key(peer(2)), 5);
        board.accepts(callee, 1, 5);
        let told = |client| {
            board.hears(client).into_iter().rev().find_map(|hear| match hear {
                Hear::Accepted { same_network, .. } | Hear::Go { same_network, .. } => Some(same_network),
                _ => None,
            })
        };
        assert_eq!([caller, callee].map(told), [Some(near); 2], "{caller_at} {callee_at}");
    }
}

#[test]
fn unread_bytes_of_a_network_are_bounded() {
    let mut board = Board::new();
    let sender = board.arrives(1, Transport::Socket);
    // All of one network.
    let network = Network::V4(66);
    for number in 2..=80 {
        board.clients += 1;
        let client = ClientId(board.clients);
        board.hand(Input::Arrived { client, key: peer(number), transport: Transport::Polls, network });
    }
    let reader = board.arrives(200, Transport::Socket);
    for number in 2..=80 {
        for _ in 0..LIVE_QUEUE_MAX {
            board.says(sender, Say::Note { to: peer(number), letter: LETTER.clone() });
        }
    }
    let waits = |board: &Board| board.board.present.values().map(|client| client.queue.len()).sum::<usize>();
    assert_eq!(waits(&board), 64 * LIVE_QUEUE_MAX);
    assert_eq!(board.board.unread().refusals, 15 * LIVE_QUEUE_MAX as u64);
    // Another network's client still receives.
    board.says(sender, Say::Note { to: peer(200), letter: LETTER.clone() });
    assert!(board.board.take(reader).is_some());
    // Nothing stays charged after they left.
    board.hand(Input::Stop);
    assert_eq!(board.board.unread.accounts(), 0);
}

#[test]
fn many_take_so_long_that_a_second_sees_few() {
    let mut board = Signaling::default();
    for number in 0..5000_u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        let (client, key) = (ClientId(number), PeerId::from_bytes(key));
        let network = Network::V6(number);
        board.handle(Instant::now(), Input::Arrived { client, key, transport: Transport::Polls, network });
    }
    board.handle(Instant::now(), Input::Stop);
    let mut seconds = BTreeMap::<u64, usize>::new();
    while let Some(output) = board.poll() {
        if let Output::Close { last, .. } = output
            && let Some(Hear::Restarting { after_ms }) = last.back()
        {
            *seconds.entry(after_ms / 1000).or_default() += 1;
        }
    }
    assert_eq!(seconds.values().sum::<usize>(), 5000);
    assert!(seconds.values().all(|count| *count <= RETURNS_PER_SECOND + 1), "{seconds:?}");
}
