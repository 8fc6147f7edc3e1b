//! A disk that hangs when a small file is written: only the caller waits.

#![cfg(target_os = "linux")]

use fyteclub_client::{Error, FaultCode};
use fyteclub_tests::{
    Town, eventually, fault,
    mods::{Mod, arrived, assert_same},
    skipped, within,
};
use nix::{
    errno::Errno,
    fcntl::AT_FDCWD,
    sys::fanotify::{
        EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
    },
};
use std::{
    fs,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};
use tokio::task::JoinHandle;

/// Who opens this file waits until the test answers. Other files of its folder are opened at once.
struct Hung {
    gate: Arc<Fanotify>,
    held: Arc<Mutex<Vec<FanotifyEvent>>>,
}

impl Hung {
    /// `None` with a message where only root could.
    fn at(path: PathBuf) -> Option<Self> {
        let gate = match Fanotify::init(InitFlags::FAN_CLASS_CONTENT, EventFFlags::O_RDONLY) {
            Err(Errno::EPERM) => {
                let why = "a disk cannot be made to hang: this story needs root";
                assert!(std::env::var_os("CI").is_none(), "must not be skipped where CI is set: {why}");
                skipped(why);
                return None;
            }
            gate => Arc::new(gate.expect("a gate")),
        };
        let opened = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_EVENT_ON_CHILD;
        gate.mark(MarkFlags::FAN_MARK_ADD, opened, AT_FDCWD, path.parent()).expect("watched");
        let held = Arc::default();
        let hung = Self { gate: Arc::clone(&gate), held: Arc::clone(&held) };
        // It ends with the process.
        thread::spawn(move || {
            while let Ok(events) = gate.read_events() {
                for event in events {
                    if opens(&event).as_deref() == Some(&*path) {
                        held.lock().expect("held").push(event);
                    } else {
                        answer(&gate, &event, Response::FAN_ALLOW);
                    }
                }
            }
        });
        Some(hung)
    }

    fn holds(&self) -> bool {
        !self.held.lock().expect("held").is_empty()
    }
}

/// The disk answers: with an error to who waits, as usual to who comes later.
impl Drop for Hung {
    fn drop(&mut self) {
        self.gate.mark(MarkFlags::FAN_MARK_FLUSH, MaskFlags::empty(), AT_FDCWD, None::<&Path>).ok();
        for event in self.held.lock().expect("held").drain(..) {
            answer(&self.gate, &event, Response::FAN_DENY);
        }
    }
}

fn opens(event: &FanotifyEvent) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", event.fd()?.as_raw_fd())).ok()
}

fn answer(gate: &Fanotify, event: &FanotifyEvent, response: Response) {
    let Some(file) = event.fd() else { return };
    // Who asked may have ended.
    gate.write_response(FanotifyResponse::new(file, response)).ok();
}

/// The request is answered when the disk answers.
async fn outcome<T: std::fmt::Debug + Send + 'static>(asked: JoinHandle<Result<T, Error>>, hung: Hung) {
    eventually("the write hangs", async || hung.holds().then_some(())).await;
    assert!(!asked.is_finished(), "nothing is promised before it is safe");
    drop(hung);
    let fault = fault(within("the answer", asked).await.expect("it ends"));
    assert_eq!(fault.code, FaultCode::Io, "{fault:?}");
    assert!(fault.message.contains("until the daemon stops"), "{fault:?}");
}

#[tokio::test]
async fn hung_disk_delays_no_other_request() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 20, 100_000).write();

    tokio::join!(alice.is_paired_with(&bob), bob.is_paired_with(&alice));
    // Answered when it is on the disk, and so is what the pairing still had to write.
    alice.client().contacts_invite().await.expect("an invitation");
    let Some(hung) = Hung::at(alice.data().join("contacts.new")) else { return };
    let client = alice.client().clone();
    let asked = tokio::spawn(async move { client.contacts_invite().await });
    eventually("the write hangs", async || hung.holds().then_some(())).await;
    for _ in 0..20 {
        within("an answer of who writes nothing", alice.client().status()).await.expect("a status");
    }
    outcome(asked, hung).await;

    let hung = Hung::at(alice.data().join("published.new")).expect("root");
    let (client, folder) = (alice.client().clone(), look.folder.clone());
    let asked = tokio::spawn(async move { client.appearance_publish_mod(&folder, vec![]).await });
    // It is published already, and can be fetched.
    let fetched = eventually("her look", async || bob.try_fetch(&alice.player, None).await.ok()).await;
    assert_same(&arrived(&fetched), &look.content);
    outcome(asked, hung).await;

    // The next write succeeds.
    alice.client().contacts_invite().await.expect("kept");
    alice.publish(&look.folder).await;
    assert!(alice.data().join("published.bin").exists());
}
