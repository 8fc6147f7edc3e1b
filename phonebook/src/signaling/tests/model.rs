//! Random acts against a model without queues, clients or deadlines.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Act {
    Arrive { who: u8, socket: bool },
    Leave { who: u8 },
    Introduce { who: u8, to: u8, number: u8 },
    Accept { who: u8, to: u8, number: u8 },
    Decline { who: u8, to: u8, number: u8 },
    Candidates { who: u8, to: u8, number: u8 },
    Read { who: u8 },
    Wait { millis: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let three = || (0..5u8, 0..5u8, 0..4u8);
    prop_oneof![
        2 => (0..5u8, any::<bool>()).prop_map(|(who, socket)| Act::Arrive { who, socket }),
        1 => (0..5u8).prop_map(|who| Act::Leave { who }),
        6 => three().prop_map(|(who, to, number)| Act::Introduce { who, to, number }),
        6 => three().prop_map(|(who, to, number)| Act::Accept { who, to, number }),
        2 => three().prop_map(|(who, to, number)| Act::Decline { who, to, number }),
        4 => three().prop_map(|(who, to, number)| Act::Candidates { who, to, number }),
        4 => (0..5u8).prop_map(|who| Act::Read { who }),
        3 => prop_oneof![0..3000u64, 0..90_000u64].prop_map(|millis| Act::Wait { millis }),
    ]
}

/// The rules without queues, clients or deadlines: one line per attempt, judged by its age.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    to: u8,
    began: u64,
    declined: bool,
    accepted: Option<u64>,
    letters: (u8, u8),
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn introductions_agree_with_a_plain_model(acts in prop::collection::vec(act(), 1..200)) {
        let mut board = Board::new();
        let mut clients: [Option<ClientId>; 5] = [None; 5];
        let mut lines: HashMap<(u8, u8), Line> = HashMap::new();
        // Received and expected messages, as text; an absent client's are lost in both.
        let mut heard: [Vec<String>; 5] = Default::default();
        let mut expected: [Vec<String>; 5] = Default::default();
        // Introductions of absent callees: callee, caller, number, begin.
        let mut held: Vec<(u8, u8, u8, u64)> = Vec::new();
        let mut now = 0;
        let word = |hear: &Hear| match hear {
            Hear::Introduced { from, attempt, .. } => format!("introduced {} {}", from.as_bytes()[0], attempt.0[0]),
            Hear::Accepted { from, attempt, .. } => format!("accepted {} {}", from.as_bytes()[0], attempt.0[0]),
            Hear::Candidates { from, attempt, .. } => format!("candidates {} {}", from.as_bytes()[0], attempt.0[0]),
            Hear::Go { peer, attempt, .. } => format!("go {} {}", peer.as_bytes()[0], attempt.0[0]),
            Hear::Unavailable { attempt } => format!("unavailable {}", attempt.0[0]),
            other => format!("{other:?}"),
        };
        for act in acts {
            let at = |who: u8| clients[who as usize];
            match act {
                Act::Arrive { who, socket } => {
                    let transport = if socket { Transport::Socket } else { Transport::Polls };
                    board.arrives(who, transport);
                    clients[who as usize] = board.board.present(&peer(who)).map(|(client, _)| client);
                    for (_, caller, number, began) in held.extract_if(.., |held| held.0 == who) {
                        if now - began < 1500 {
                            expected[who as usize].push(format!("introduced {caller} {number}"));
                        }
                    }
                }
                Act::Leave { who } => if let Some(client) = at(who) {
                    heard[who as usize].extend(board.hears(client).iter().map(word));
                    board.hand(Input::Left { client });
                    clients[who as usize] = None;
                },
                Act::Introduce { who, to, number } => if let Some(client) = at(who) {
                    board.introduces(client, Callee::Key(peer(to)), number);
                    lines.entry((who, number)).or_insert_with(|| {
                        match at(to) {
                            Some(_) if to != who => {
                                expected[to as usize].push(format!("introduced {who} {number}"));
                            }
                            Some(_) => {}
                            None => held.push((to, who, number, now)),
                        }
                        let to = if to == who { u8::MAX } else { to };
                        Line { to, began: now, declined: false, accepted: None, letters: (0, 0) }
                    });
                },
                Act::Accept { who, to, number } => if let Some(client) = at(who) {
                    board.accepts(client, to, number);
                    if let Some(line) = lines.get_mut(&(to, number))
                        && line.to == who && !line.declined && line.accepted.is_none() && at(to).is_some()
                    {
                        line.accepted = Some(now);
                        expected[to as usize].push(format!("accepted {who} {number}"));
                        expected[to as usize].push(format!("go {who} {number}"));
                        expected[who as usize].push(format!("go {to} {number}"));
                    }
                },
                Act::Decline { who, to, number } => if let Some(client) = at(who) {
                    board.says(client, Say::Decline { to: peer(to), attempt: attempt(number) });
                    if let Some(line) = lines.get_mut(&(to, number))
                        && line.to == who && line.accepted.is_none() && at(to).is_some()
                    {
                        line.declined = true;
                    }
                },
                Act::Candidates { who, to, number } => if let Some(client) = at(who) {
                    board.candidates(client, to, number);
                    let own = lines.contains_key(&(who, number));
                    let (line, callers) = if own { ((who, number), true) } else { ((to, number), false) };
                    if let Some(line) = lines.get_mut(&line)
                        && line.accepted.is_some() && line.to == if callers { to } else { who }
                    {
                        let letters = if callers { &mut line.letters.0 } else { &mut line.letters.1 };
                        if *letters < 8 {
                            *letters += 1;
                            if at(to).is_some() {
                                expected[to as usize].push(format!("candidates {who} {number}"));
                            }
                        }
                    }
                },
                Act::Read { who } => if let Some(client) = at(who) {
                    heard[who as usize].extend(board.hears(client).iter().map(word));
                },
                Act::Wait { millis } => {
                    // Prevents the close of silent clients, which has its own test.
                    for who in 0..5 {
                        if let Some(client) = at(who) {
                            heard[who as usize].extend(board.hears(client).iter().map(word));
                        }
                    }
                    board.waits(Duration::from_millis(millis));
                    now += millis;
                    for who in 0..5 {
                        let alive = board.board.present(&peer(who)).is_some();
                        let mut late: Vec<_> = lines
                            .iter()
                            .filter(|((caller, _), line)| *caller == who && line.accepted.is_none() && now - line.began >= 1500)
                            .map(|((_, number), line)| (line.began, *number))
                            .collect();
                        late.sort_unstable();
                        for (_, number) in late {
                            lines.remove(&(who, number));
                            if clients[who as usize].is_some() {
                                expected[who as usize].push(format!("unavailable {number}"));
                            }
                        }
                        if !alive {
                            // It expired; its unread messages are lost.
                            if clients[who as usize].take().is_some() {
                                expected[who as usize].clone_from(&heard[who as usize]);
                            }
                        } else if let Some(client) = clients[who as usize] {
                            heard[who as usize].extend(board.hears(client).iter().map(word));
                        }
                    }
                    lines.retain(|_, line| line.accepted.is_none_or(|accepted| now - accepted < 60_000));
                }
            }
            for client in clients.iter().flatten() {
                let queue = board.board.client(*client).map_or(0, |client| client.queue.len());
                prop_assert!(queue <= LIVE_QUEUE_MAX);
            }
            // All read before a queue is full.
            for who in 0..5 {
                if let Some(client) = clients[who]
                    && board.board.client(client).is_some_and(|client| client.queue.len() > 20)
                {
                    heard[who].extend(board.hears(client).iter().map(word));
                }
            }
        }
        for who in 0..5 {
            if let Some(client) = clients[who] {
                heard[who].extend(board.hears(client).iter().map(word));
            }
            prop_assert_eq!(&heard[who], &expected[who], "of {}", who);
        }
        // All attempts end.
        board.waits(PRESENCE_LIFE * 2);
        prop_assert!(board.board.attempts.is_empty());
        prop_assert_eq!(board.board.deadline(), None);
    }
}
