use super::*;

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

fn outputs(live: &mut Live) -> Vec<Output> {
    std::iter::from_fn(|| live.poll()).collect()
}

fn welcome() -> Welcome {
    Welcome { version: 1, address: [127, 0, 0, 1].into(), life: 75, period: 25, udp: None, return_ms: None }
}

/// An open connection.
fn open(now: Instant) -> Live {
    let mut live = Live::new(RETURN_SPREAD, now);
    assert_eq!(outputs(&mut live), [Output::Connect(Transport::WebSocket)]);
    let nonce = Bytes([7; 32]);
    live.handle(now, 0.5, Input::Received(Hear::Challenge { versions: vec![1], nonce, time: 0 }));
    assert_eq!(outputs(&mut live), [Output::Greet(nonce)]);
    live.handle(now, 0.5, Input::Received(Hear::Welcome(welcome())));
    assert_eq!(outputs(&mut live), [Output::Up { welcome: welcome(), missed: false }]);
    live
}

#[test]
fn who_is_silent_says_that_it_is_here() {
    let now = start();
    let mut live = open(now);
    live.handle(now + Duration::from_secs(20), 0.5, Input::Said);
    live.handle(now + Duration::from_secs(21), 0.5, Input::Alive);
    assert_eq!(live.deadline(), Some((now + Duration::from_secs(45), Why::HereDue)));
    live.handle(now + Duration::from_secs(30), 0.5, Input::Time);
    assert!(outputs(&mut live).is_empty());
    live.handle(now + Duration::from_secs(45), 0.5, Input::Time);
    assert_eq!(outputs(&mut live), [Output::SayHere]);
}

#[test]
fn silent_connection_is_probed_and_replaced() {
    let now = start();
    let mut live = open(now);
    live.handle(now + Duration::from_secs(20), 0.5, Input::Said);
    let silent = now + SILENCE_TIME;
    assert_eq!(live.deadline(), Some((silent, Why::ProbeDue)));
    live.handle(silent, 0.5, Input::Time);
    assert_eq!(outputs(&mut live), [Output::Probe]);
    assert_eq!(live.deadline(), Some((silent + PROBE_TIME, Why::AnswerDue)));
    // Answered: nothing happens.
    live.handle(silent + PROBE_TIME / 2, 0.5, Input::Alive);
    live.handle(silent + PROBE_TIME, 0.5, Input::Time);
    assert_eq!(outputs(&mut live), []);
    live.handle(silent + SILENCE_TIME * 2, 0.5, Input::Time);
    live.handle(silent + SILENCE_TIME * 2 + PROBE_TIME, 0.5, Input::Time);
    let down = Output::Down("the connection to the phone book is silent".to_owned());
    let connect = Output::Connect(Transport::WebSocket);
    assert_eq!(outputs(&mut live), [Output::SayHere, Output::Probe, Output::HangUp, down, connect]);
}

#[test]
fn wanted_peer_has_a_quiet_connection_probed_once() {
    let now = start();
    let mut live = open(now);
    live.handle(now + FRESH_TIME / 2, 0.5, Input::Wanted);
    assert_eq!(outputs(&mut live), [], "it was heard just now");
    let wanted = now + FRESH_TIME;
    (0..9).for_each(|_| live.handle(wanted, 0.5, Input::Wanted));
    assert_eq!(outputs(&mut live), [Output::Probe]);
    live.handle(wanted + PROBE_TIME, 0.5, Input::Time);
    assert_eq!(outputs(&mut live).last(), Some(&Output::Connect(Transport::WebSocket)));
    assert!(live.is_coming(wanted + PROBE_TIME));
}

#[test]
fn poll_is_not_probed() {
    let now = start();
    let mut live = Live::new(RETURN_SPREAD, now);
    live.handle(now, 0.0, Input::Lost(Lost::NoUpgrade));
    live.handle(now, 0.0, Input::Time);
    live.handle(now, 0.0, Input::Received(Hear::Welcome(welcome())));
    outputs(&mut live);
    live.handle(now + FRESH_TIME, 0.5, Input::Wanted);
    assert_eq!(outputs(&mut live), []);
    assert_eq!(live.deadline(), Some((now + Duration::from_secs(25), Why::HereDue)));
}

#[test]
fn ten_thousand_come_back_spread_over_the_time() {
    let now = start();
    let mut each_second = [0u32; 10];
    for client in 0..10_000 {
        let mut live = open(now);
        live.handle(now, f64::from(client) / 10_000.0, Input::Lost(Lost::Broken));
        let (at, why) = live.deadline().expect("a time");
        assert_eq!(why, Why::Connect);
        each_second[(at - now).as_secs() as usize] += 1;
    }
    assert!(each_second.iter().all(|&clients| (900..=1100).contains(&clients)), "{each_second:?}");
}

/// Which second after a break each client is back in. The phone book says `return_ms`.
fn back_in(return_ms: u64, before: Option<u64>) -> u64 {
    let now = start();
    let mut live = Live::new(RETURN_SPREAD, now);
    for return_ms in before.into_iter().chain([return_ms]) {
        live.handle(now, 0.0, Input::Time);
        live.handle(
            now,
            0.0,
            Input::Received(Hear::Challenge { versions: vec![1], nonce: Bytes([7; 32]), time: 0 }),
        );
        let welcome = Welcome { return_ms: Some(return_ms), ..welcome() };
        live.handle(now, 0.0, Input::Received(Hear::Welcome(welcome)));
        live.handle(now, 0.999, Input::Lost(Lost::Broken));
        live.handle(now, 0.0, Input::Moved);
    }
    live.handle(
        now,
        0.0,
        Input::Received(Hear::Challenge { versions: vec![1], nonce: Bytes([7; 32]), time: 0 }),
    );
    live.handle(
        now,
        0.0,
        Input::Received(Hear::Welcome(Welcome { return_ms: Some(return_ms), ..welcome() })),
    );
    live.handle(now, 0.999, Input::Lost(Lost::Broken));
    let (at, _) = live.deadline().expect("a time");
    (at - now).as_secs()
}

#[test]
fn few_clients_return_within_a_second() {
    assert_eq!([(1000, None), (8000, None)].map(|(told, before)| back_in(told, before)), [0, 7]);
    assert_eq!(back_in(u64::MAX, None), 9, "it has no more power over a client than silence");
}

#[test]
fn connection_that_breaks_again_waits_longer() {
    let now = start();
    let mut live = Live::new(RETURN_SPREAD, now);
    let pauses = [(); 2].map(|()| {
        live.handle(now, 0.0, Input::Time);
        let nonce = Bytes([7; 32]);
        live.handle(now, 0.0, Input::Received(Hear::Challenge { versions: vec![1], nonce, time: 0 }));
        live.handle(now, 0.0, Input::Received(Hear::Welcome(Welcome { return_ms: Some(500), ..welcome() })));
        live.handle(now, 0.0, Input::Lost(Lost::Broken));
        live.deadline().expect("a time").0 - now
    });
    assert_eq!(pauses, [Duration::ZERO, FIRST_PAUSE / 2]);
}

#[test]
fn many_clients_stay_apart_after_a_restart() {
    // It has counted few since its restart; twice a half.
    assert_eq!(back_in(1000, Some(10_000)), 2);
}

#[test]
fn many_clients_spread_their_attempts_in_an_outage() {
    let now = start();
    let mut live = Live::new(RETURN_SPREAD, now);
    live.handle(
        now,
        0.0,
        Input::Received(Hear::Challenge { versions: vec![1], nonce: Bytes([7; 32]), time: 0 }),
    );
    live.handle(now, 0.0, Input::Received(Hear::Welcome(Welcome { return_ms: Some(8000), ..welcome() })));
    live.handle(now, 0.0, Input::Lost(Lost::Broken));
    live.handle(now, 0.0, Input::Time);
    live.handle(now, 0.0, Input::Lost(Lost::Refused));
    assert_eq!(live.deadline().map(|(at, _)| at), Some(now + Duration::from_secs(4)));
}

#[test]
fn a_phone_book_that_stops_says_when_to_come_back() {
    let now = start();
    let mut live = open(now);
    live.handle(now, 0.5, Input::Received(Hear::Restarting { after_ms: 1234 }));
    live.handle(now, 0.9, Input::Lost(Lost::Closed(CloseReason::Restart, String::new())));
    assert_eq!(live.deadline(), Some((now + Duration::from_millis(1234), Why::Connect)));
}

#[test]
fn blocked_websocket_falls_back_to_polls() {
    let now = start();
    for losses in [vec![Lost::NoUpgrade], vec![Lost::Broken; 2]] {
        let mut live = Live::new(RETURN_SPREAD, now);
        let mut at = now;
        for lost in losses {
            assert_eq!(outputs(&mut live).last(), Some(&Output::Connect(Transport::WebSocket)));
            live.handle(at, 0.5, Input::Lost(lost));
            at = live.deadline().expect("a time").0;
            live.handle(at, 0.5, Input::Time);
        }
        assert_eq!(outputs(&mut live).last(), Some(&Output::Connect(Transport::Poll)));
        live.handle(at, 0.5, Input::Received(Hear::Welcome(welcome())));
        assert!(live.is_open());
        let later = at + POLL_SPELL;
        live.handle(later, 0.0, Input::Lost(Lost::Broken));
        live.handle(later, 0.0, Input::Time);
        assert_eq!(outputs(&mut live).last(), Some(&Output::Connect(Transport::WebSocket)));
    }
}

#[test]
fn who_is_looked_for_ends_the_back_off() {
    let begin = start();
    let (mut live, mut now) = (Live::new(RETURN_SPREAD, begin), begin);
    // An outage of twenty minutes without a wanted peer: the pauses have grown.
    while now < begin + Duration::from_secs(1200) {
        assert_eq!(outputs(&mut live), [Output::Connect(Transport::WebSocket)]);
        live.handle(now, 1.0, Input::Lost(Lost::Unreachable));
        assert!(matches!(outputs(&mut live)[..], [Output::Down(_)]));
        now = live.deadline().expect("a time").0;
        live.handle(now, 1.0, Input::Time);
    }
    outputs(&mut live);
    live.handle(now, 1.0, Input::Lost(Lost::Unreachable));
    assert!(live.deadline().expect("a time").0 >= now + Duration::from_secs(5));
    outputs(&mut live);
    // A hundred wanted peers in ten seconds are ten attempts.
    let (asking, mut attempts) = (now + Duration::from_millis(100), 0);
    for turn in 0..100 {
        now = asking + Duration::from_millis(100) * turn;
        live.handle(now, 1.0, Input::Time);
        live.handle(now, 1.0, Input::Wanted);
        assert!(live.is_coming(now));
        if outputs(&mut live).contains(&Output::Connect(Transport::WebSocket)) {
            attempts += 1;
            live.handle(now, 1.0, Input::Lost(Lost::Unreachable));
            outputs(&mut live);
        }
    }
    assert!((9..=10).contains(&attempts), "{attempts}");
    now += WANTED_PAUSE;
    live.handle(now, 1.0, Input::Wanted);
    live.handle(
        now,
        1.0,
        Input::Received(Hear::Challenge { versions: vec![1], nonce: Bytes([7; 32]), time: 0 }),
    );
    live.handle(now, 1.0, Input::Received(Hear::Welcome(welcome())));
    assert_eq!(outputs(&mut live).last(), Some(&Output::Up { welcome: welcome(), missed: true }));
}

/// The attempts to connect in an outage of this length, and how long after it the next one comes.
fn outage(length: Duration, jitter: f64, lost: &Lost) -> (u32, Duration) {
    let begin = start();
    let (mut live, mut now) = (open(begin), begin + LASTING);
    live.handle(now, jitter, Input::Lost(Lost::Broken));
    let (end, mut attempts) = (now + length, 0);
    loop {
        now = live.deadline().expect("a time").0;
        if now >= end {
            return (attempts, now - end);
        }
        attempts += 1;
        live.handle(now, jitter, Input::Time);
        assert!(matches!(outputs(&mut live).last(), Some(Output::Connect(_))));
        live.handle(now, jitter, Input::Lost(lost.clone()));
    }
}

#[test]
fn client_is_back_a_second_after_an_outage() {
    for seconds in (11..=120).map(Duration::from_secs) {
        for jitter in [0.0, 0.3, 1.0] {
            for lost in [Lost::Refused, Lost::Unreachable, Lost::Broken] {
                let (attempts, late) = outage(seconds, jitter, &lost);
                assert!(late <= FIRST_PAUSE, "{lost:?}, {seconds:?}: {late:?}");
                assert!(attempts <= 4 * 120, "{attempts}");
            }
        }
    }
}

#[test]
fn long_outage_costs_few_attempts() {
    let hour = Duration::from_secs(3600);
    let (attempts, late) = outage(hour, 1.0, &Lost::Refused);
    assert!(attempts <= 900 && late <= LONGEST_PAUSE, "{attempts}, {late:?}");
    let (day, _) = outage(hour * 24, 1.0, &Lost::Refused);
    assert!(day - attempts <= 23 * 361, "{day}");
}

#[test]
fn short_connection_does_not_end_an_outage() {
    let begin = start();
    let (mut live, mut now, mut attempts) = (open(begin), begin, 0);
    // A phone book that welcomes and breaks at once.
    while now < begin + Duration::from_secs(1200) {
        live.handle(now, 0.0, Input::Lost(Lost::Unreachable));
        outputs(&mut live);
        now = live.deadline().expect("a time").0.max(now + Duration::from_millis(1));
        live.handle(now, 0.0, Input::Time);
        let nonce = Bytes([7; 32]);
        live.handle(now, 0.0, Input::Received(Hear::Challenge { versions: vec![1], nonce, time: 0 }));
        live.handle(now, 0.0, Input::Received(Hear::Welcome(welcome())));
        attempts += 1;
    }
    assert!(attempts < 1500, "{attempts}");
}

#[test]
fn nobody_ends_a_pause_that_was_asked_for() {
    let now = start();
    for lost in [
        Lost::Unsupported,
        Lost::Closed(CloseReason::Replaced, String::new()),
        Lost::Closed(CloseReason::Limited, "retry_after:30".into()),
        Lost::Closed(CloseReason::BadMessage, String::new()),
    ] {
        let mut live = open(now);
        live.handle(now, 0.5, Input::Lost(lost.clone()));
        let later = now + WANTED_PAUSE * 2;
        live.handle(later, 0.5, Input::Wanted);
        assert!(!outputs(&mut live).contains(&Output::Connect(Transport::WebSocket)), "{lost:?}");
        assert!(!live.is_coming(later));
    }
}

#[test]
fn two_daemons_with_one_key_do_not_fight() {
    let now = start();
    let mut live = open(now);
    live.handle(now, 0.0, Input::Lost(Lost::Closed(CloseReason::Replaced, String::new())));
    assert!(live.deadline().expect("a time").0 >= now + REPLACED_PAUSE);
    assert!(matches!(outputs(&mut live).last(), Some(Output::Down(says)) if says.contains("identity")));
}

#[test]
fn a_wrong_clock_is_told_and_corrected() {
    let now = start();
    let mut live = Live::new(RETURN_SPREAD, now);
    outputs(&mut live);
    live.handle(now, 0.0, Input::Lost(Lost::Closed(CloseReason::ClockSkew, "clock_skew:-421000".into())));
    let outputs = outputs(&mut live);
    assert!(outputs.contains(&Output::ClockAhead(-421_000)), "{outputs:?}");
    assert!(live.deadline().expect("a time").0 <= now + Duration::from_secs(1));
}

#[test]
fn losses_of_a_day_are_retried_at_a_bounded_rate() {
    let begin = start();
    let (mut live, mut now, mut connects) = (Live::new(RETURN_SPREAD, begin), begin, 0);
    let losses = [
        Lost::Unreachable,
        Lost::Broken,
        Lost::Unsupported,
        Lost::NoUpgrade,
        Lost::Closed(CloseReason::Limited, "retry_after:0".into()),
        Lost::Closed(CloseReason::ClockSkew, "clock_skew:x".into()),
        Lost::Closed(CloseReason::BadMessage, "\u{7}what".into()),
    ];
    for round in 0.. {
        if now > begin + Duration::from_secs(86_400) {
            break;
        }
        for output in outputs(&mut live) {
            if matches!(output, Output::Connect(_)) {
                connects += 1;
                live.handle(now, 0.3, Input::Lost(losses[round % losses.len()].clone()));
            }
        }
        let (at, _) = live.deadline().expect("always a next time");
        now = now.max(at);
        live.handle(now, 0.7, Input::Time);
    }
    assert!((500..20_000).contains(&connects), "{connects}");
}

#[test]
fn a_moved_machine_connects_anew_unless_sent_away() {
    let now = start();
    let mut live = open(now);
    live.handle(now, 0.5, Input::Moved);
    let down = Output::Down("this machine's address changed".to_owned());
    let connect = Output::Connect(Transport::WebSocket);
    assert_eq!(outputs(&mut live), [Output::HangUp, down, connect.clone()]);
    live.handle(now, 0.5, Input::Moved);
    assert_eq!(
        outputs(&mut live),
        [Output::HangUp, connect.clone()],
        "nor does a half-open one lead anywhere"
    );
    live.handle(now, 0.5, Input::Lost(Lost::Unreachable));
    outputs(&mut live);
    live.handle(now, 0.5, Input::Moved);
    assert_eq!(outputs(&mut live), [connect]);
    for lost in [Lost::Unsupported, Lost::Closed(CloseReason::Limited, "retry_after:9".into())] {
        let mut live = open(now);
        live.handle(now, 0.5, Input::Lost(lost));
        outputs(&mut live);
        live.handle(now, 0.5, Input::Moved);
        assert_eq!(outputs(&mut live), [], "another address changes nothing about that");
    }
}
