//! Mappings that outlive their daemon, and the end of one that stops in order.

use super::*;

const KINDS: [(bool, bool, bool); 3] = [(true, true, false), (false, true, false), (false, false, true)];

#[test]
fn stop_removes_what_was_mapped() {
    for (pcp, pmp, upnp) in KINDS {
        let mut home = Home::new(Router::new(pcp, pmp, upnp));
        home.run_to(10 * SECOND);
        assert!(home.mapped().is_some());
        home.say(Input::Stop);
        assert!(!home.machine.is_over());
        home.run(SECOND);
        assert!(home.machine.is_over() && home.mapped().is_none());
        assert_eq!(home.router.forwards(home.now), [], "{pcp} {pmp} {upnp}");
        assert_eq!(home.journal, Journal::default());
        assert_eq!(home.machine.deadline(), None);
    }
}

#[test]
fn stop_at_any_moment_leaves_nothing_unnoted() {
    for (pcp, pmp, upnp) in KINDS {
        for after in 0..60 {
            let mut home = Home::new(Router { loses: 1, ..Router::new(pcp, pmp, upnp) });
            home.run_to(Duration::from_millis(after * 20));
            home.say(Input::Stop);
            home.run(20 * SECOND);
            assert!(home.machine.is_over());
            let left = home.router.forwards(home.now);
            let noted = left
                .iter()
                .all(|(outside, _)| home.journal.mappings.iter().any(|entry| entry.outside == *outside));
            assert!(noted, "{left:?} {:?}", home.journal);
        }
    }
}

#[test]
fn stop_without_an_answer_ends_and_keeps_the_journal() {
    for (pcp, pmp, upnp) in KINDS {
        let mut home = Home::new(Router::new(pcp, pmp, upnp));
        home.run_to(10 * SECOND);
        home.router.off = true;
        home.say(Input::Stop);
        home.run(20 * SECOND);
        assert!(home.machine.is_over());
        assert_eq!(home.journal.mappings.len(), 1);
    }
}

#[test]
fn leftover_of_a_killed_daemon_is_removed() {
    for (pcp, pmp, upnp) in KINDS {
        let mut home = Home::new(Router::new(pcp, pmp, upnp));
        home.run_to(10 * SECOND);
        assert_eq!(home.router.forwards(home.now), [(PORT, PORT)]);
        let mut home = home.killed(PORT + 7);
        home.run(10 * SECOND);
        assert_eq!(home.router.forwards(home.now), [(PORT + 7, PORT + 7)], "{pcp} {pmp} {upnp}");
        assert_eq!(home.journal.mappings.len(), 1);
    }
}

#[test]
fn same_port_takes_its_leftover_over() {
    for (pcp, pmp, upnp) in KINDS {
        let mut home = Home::new(Router::new(pcp, pmp, upnp));
        home.run_to(10 * SECOND);
        let before = home.mapped();
        let mut home = home.killed(PORT);
        home.run(10 * SECOND);
        assert_eq!(home.mapped(), before, "else PCP says NOT_AUTHORIZED");
        assert_eq!(home.router.forwards(home.now), [(PORT, PORT)]);
        assert_eq!(home.journal.mappings.len(), 1);
    }
}

#[test]
fn leftover_that_is_anothers_by_now_stays() {
    let mut home = Home::new(Router::new(false, false, true));
    home.run_to(10 * SECOND);
    let theirs =
        router::Forward { outside: PORT, client: HOST.into(), inside: 5000, nonce: None, ends: None };
    home.router.table = vec![theirs];
    let mut home = home.killed(PORT + 7);
    home.run(10 * SECOND);
    assert!(home.router.table.contains(&theirs));
    assert!(home.journal.mappings.iter().all(|entry| entry.outside == PORT + 7));
}

#[test]
fn leftover_of_another_network_waits_for_it() {
    let entry = Entry {
        by: By::Pcp,
        router: [10, 0, 0, 1].into(),
        local: [10, 0, 0, 7].into(),
        inside: 40_000,
        outside: 40_000,
        nonce: crate::bytes::Bytes([3; 12]),
    };
    let journal = Journal { mappings: vec![entry] };
    let mut home = Home::with(Router::new(true, true, true), BOTH, journal);
    home.run_to(HOUR);
    assert!(home.journal.mappings.contains(&entry) && home.journal.mappings.len() == 2);
}
