use super::*;

const SMALL: PeerId = PeerId::from_bytes([1; 32]);
const LARGE: PeerId = PeerId::from_bytes([2; 32]);

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

fn outputs(choice: &mut LinkChoice) -> Vec<Output> {
    std::iter::from_fn(|| choice.poll()).collect()
}

fn opened(link: usize, dialer: PeerId) -> Input {
    Input::Opened { link, dialer, instance: 7 }
}

#[test]
fn other_link_is_served_until_it_is_unused() {
    let now = start();
    let mut choice = LinkChoice::new(SMALL, LARGE);
    choice.handle(now, opened(1, LARGE));
    choice.handle(now, opened(2, SMALL));
    assert_eq!(outputs(&mut choice), [Output::Use { link: 1 }, Output::Use { link: 2 }]);
    let due = now + LINGER_THEIRS;
    assert_eq!(choice.deadline(), Some((due, Why::SpareDue)));
    choice.handle(due - LOOK_EVERY / 2, Input::Busy { link: 1 });
    choice.handle(due, Input::Time);
    assert_eq!(outputs(&mut choice), [], "something ran on it a moment ago");
    choice.handle(due + LOOK_EVERY, Input::Time);
    assert_eq!(outputs(&mut choice), [Output::Close { link: 1 }]);
    choice.handle(due + LOOK_EVERY, Input::Gone { link: 1 });
    assert_eq!((outputs(&mut choice), choice.current(), choice.deadline()), (vec![], Some(2), None));
}

#[test]
fn other_links_are_bounded_in_time_and_number() {
    let now = start();
    let mut choice = LinkChoice::new(SMALL, LARGE);
    (1..=2).for_each(|link| choice.handle(now, opened(link, LARGE)));
    outputs(&mut choice);
    let mut at = now;
    while at < now + LINGER_MAX {
        choice.handle(at, Input::Busy { link: 1 });
        choice.handle(at, Input::Time);
        assert_eq!(outputs(&mut choice), [], "at {:?}", at - now);
        at += LOOK_EVERY / 2;
    }
    choice.handle(at, Input::Busy { link: 1 });
    choice.handle(at, Input::Time);
    assert_eq!(outputs(&mut choice), [Output::Close { link: 1 }]);
    (3..=5).for_each(|link| choice.handle(at, opened(link, LARGE)));
    let used = (3..=5).map(|link| Output::Use { link });
    assert_eq!(outputs(&mut choice), used.chain([Output::Close { link: 2 }]).collect::<Vec<_>>());
}

#[test]
fn nothing_of_a_former_life_stays() {
    let now = start();
    let mut choice = LinkChoice::new(SMALL, LARGE);
    (1..=2).for_each(|link| choice.handle(now, opened(link, SMALL)));
    outputs(&mut choice);
    assert!(choice.wants(LARGE, 8) && !choice.wants(LARGE, 7) && choice.wants(SMALL, 7));
    choice.handle(now, Input::Opened { link: 3, dialer: LARGE, instance: 8 });
    let all = [Output::Close { link: 1 }, Output::Close { link: 2 }, Output::Use { link: 3 }];
    assert_eq!(outputs(&mut choice), all);
    choice.handle(now, Input::Gone { link: 2 });
    assert_eq!(outputs(&mut choice), []);
    choice.handle(now, Input::Gone { link: 3 });
    assert_eq!((outputs(&mut choice), choice.current()), (vec![Output::Lost], None));
}

/// An event at one end, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Opened(usize),
    Closed(usize),
}

const ENDS: [PeerId; 2] = [SMALL, LARGE];

/// Three links between two ends, each dialled by `dialers[link]`, open at its acceptor and later at its dialler, in
/// tenths of a second. Every message on a link takes `delay`. Returns each end's final link.
fn run(dialers: [usize; 3], opens: [[u32; 2]; 3], delay: u32) -> [Option<usize>; 2] {
    let began = start();
    let at = |tenth: u32| began + Duration::from_millis(100) * tenth;
    let mut ends = [LinkChoice::new(SMALL, LARGE), LinkChoice::new(LARGE, SMALL)];
    let mut open = [[false; 3]; 2];
    let mut events: Vec<(u32, usize, Event)> =
        (0..3).flat_map(|link| (0..2).map(move |end| (opens[link][end], end, Event::Opened(link)))).collect();
    for tenth in 0..200 {
        events.sort_unstable();
        for (_, end, event) in events.extract_if(.., |event| event.0 == tenth).collect::<Vec<_>>() {
            match event {
                Event::Opened(link) => {
                    let (other, dialer) = (1 - end, dialers[link]);
                    let accepts = end != dialer;
                    if accepts && !ends[end].wants(ENDS[dialer], 7) {
                        // Refused in the greeting: the dialler never opens it.
                        events.retain(|(_, _, event)| *event != Event::Opened(link));
                        continue;
                    }
                    // A link that the other end closed meanwhile does not open.
                    if !accepts && !open[other][link] {
                        continue;
                    }
                    open[end][link] = true;
                    ends[end].handle(at(tenth), opened(link, ENDS[dialer]));
                }
                Event::Closed(link) => {
                    open[end][link] = false;
                    ends[end].handle(at(tenth), Input::Gone { link });
                }
            }
        }
        for end in 0..2 {
            ends[end].handle(at(tenth), Input::Time);
            for output in outputs(&mut ends[end]) {
                let case = (dialers, opens, delay, tenth, end);
                match output {
                    Output::Use { link } => assert!(open[end][link], "{case:?}"),
                    Output::Close { link } => {
                        open[end][link] = false;
                        ends[end].handle(at(tenth), Input::Gone { link });
                        events.push((tenth + delay.max(1), 1 - end, Event::Closed(link)));
                    }
                    Output::Lost => panic!("a link was lost: {case:?}"),
                }
            }
        }
    }
    assert_eq!(open[0], open[1]);
    ends.map(|end| end.current())
}

#[test]
fn both_sides_choose_one_link_in_any_order() {
    let times = [0, 1, 4];
    let orders = || times.into_iter().flat_map(|a| [1, 6].map(|later| (a, a + later)));
    let mut cases = 0;
    for dialers in (0..8).map(|n| [n & 1, n >> 1 & 1, n >> 2 & 1]) {
        for first in orders() {
            for second in orders() {
                for third in orders() {
                    for delay in [1, 5] {
                        let pairs = [first, second, third];
                        let opens = std::array::from_fn(|link| {
                            let (acceptor, dialer) = pairs[link];
                            if dialers[link] == 0 { [dialer, acceptor] } else { [acceptor, dialer] }
                        });
                        let [small, large] = run(dialers, opens, delay);
                        assert!(
                            small.is_some() && small == large,
                            "{dialers:?} {opens:?}: {small:?} {large:?}"
                        );
                        cases += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cases, 8 * 6 * 6 * 6 * 2);
}
