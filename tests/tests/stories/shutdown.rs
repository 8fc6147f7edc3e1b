//! Stopping: by request or signal, idle or during a transfer. Within five seconds, cleanly, and unregistered.

#![cfg(unix)]

use fyteclub_client::{Event, FaultCode};
use fyteclub_tests::{
    Resident, Town, fault,
    mods::{Mod, arrived, assert_same, noise},
    within,
};
use rustix::process::Signal;
use std::{path::Path, time::Duration};

#[derive(Debug, Clone, Copy)]
enum Way {
    Request,
    Terminate,
    Interrupt,
}

const WAYS: [Way; 3] = [Way::Request, Way::Terminate, Way::Interrupt];

async fn stop(resident: &mut Resident, way: Way) {
    match way {
        Way::Request => resident.client().shutdown().await.expect("answered"),
        Way::Terminate => resident.process().signal(Signal::TERM),
        Way::Interrupt => resident.process().signal(Signal::INT),
    }
    let (status, took) = resident.process().ended().await;
    assert_eq!(status.code(), Some(0), "{way:?}");
    // A second for a busy machine.
    assert!(took < Duration::from_secs(6), "{way:?} took {took:?}");
    assert!(!Path::new(resident.ipc()).exists(), "{way:?}: the socket is gone");
}

#[tokio::test]
async fn an_idle_daemon_stops_and_is_not_reached_any_more() {
    let town = Town::new().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    let published = alice.publish(&look.folder).await;
    for way in WAYS {
        stop(&mut alice, way).await;
        let fault = fault(bob.try_fetch(&alice.player, None).await);
        // After a link, her last address is dialled as well.
        assert!(matches!(fault.code, FaultCode::NotFound | FaultCode::PeerUnreachable), "{way:?}: {fault:?}");
        assert!(fault.message.contains("not online"), "{way:?}: {fault:?}");
        alice.start().await;
        let status = alice.client().status().await.expect("a status");
        assert_eq!(status.appearance, Some(published.appearance), "{way:?}: she still wears it");
        assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    }
}

#[tokio::test]
async fn busy_daemon_stops_and_keeps_its_chunks() {
    for way in WAYS {
        let town = Town::new().await;
        let (mut alice, mut bob) =
            tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
        alice.befriend(&bob).await;
        let look = Mod::new(town.path("mod")).file("chara/large.tex", &noise(1, 120_000_000)).write();
        alice.publish(&look.folder).await;
        let mut events = bob.client().watch().await.expect("events");
        let (client, player) = (bob.client().clone(), alice.player.clone());
        let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
        let started = async {
            while let Some(Ok(event)) = events.next().await {
                match event {
                    Event::TransferProgress(now) if now.bytes_done > 0 => return,
                    Event::AppearanceReady { .. } => return,
                    _ => {}
                }
            }
        };
        within("progress", started).await;
        // Both at once: one is sending, one is receiving.
        tokio::join!(stop(&mut alice, way), stop(&mut bob, way));
        let ended = within("the fetch ends", fetch).await.expect("no panic");
        if let Err(error) = &ended {
            assert!(error.to_string().contains("stopping") || error.is_retryable(), "{error:?}");
        }
        tokio::join!(alice.start(), bob.start());
        let fetched = bob.fetch(&alice.player).await;
        assert!(fetched.bytes_fetched < 120_000_000, "{way:?}: what came was kept");
        assert_same(&arrived(&fetched), &look.content);
    }
}
