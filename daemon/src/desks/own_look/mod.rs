//! This player's own look: scanned, signed, offered, saved, and offered again after a restart.

pub mod scan;

use super::{
    faults::{bad_path, internal, store_fault},
    orders::{Answer, Kept, Later, Now, Order, Orders, Write, at_once},
};
use crate::{
    io::{
        identity::Identity,
        keeper::Keeping,
        published::PublishedFile,
        store::{Pin, Store},
    },
    penumbra::ModError,
    pumps::scan::{ScanError, Scanned},
    sharing::published::Offer,
};
use fyteclub_proto::{
    appearance::{Appearance, SignedAppearance},
    codec,
    id::{BlobHash, PlayerName},
    limit::APPEARANCE_BYTES_MAX,
    local::{
        Event, Fault, FaultCode,
        reply::{Empty, Published},
    },
    number::u64_of,
    size,
    version::APPEARANCE_VERSION,
};
use scan::{ScanId, What};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// Files change in groups: the scan waits for the rest of a group.
const SETTLE: Duration = Duration::from_millis(500);
/// How often the published files are looked at, and a look that could not be read is read again.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// The published look in its file.
#[derive(Serialize, Deserialize)]
struct Saved {
    document: Vec<u8>,
    /// [`What`] as JSON, so that it may get more fields.
    what: String,
}

pub enum Input {
    /// A published file was found changed while it was served.
    SourceChanged,
    /// Published files are gone from the cache.
    Damaged,
    /// The result of an [`Order::LookAtOffer`]: how many of the look's files cannot be served.
    LookedAt(BlobHash, usize),
    /// The result of an [`Order::Scan`].
    Scanned(ScanId, Result<Scanned, Fault>),
    /// A write that this desk ordered has ended.
    Written(ScanId, Kept),
    Time,
}

/// Why a look is scanned.
enum Purpose {
    /// A client publishes it.
    Asked(oneshot::Sender<Answer<Published>>),
    /// Its files changed, or the daemon started.
    Again,
}

struct Scan {
    /// The number of its request.
    number: u64,
    what: What,
    purpose: Purpose,
}

/// A look that is being written.
struct Writing {
    look: BlobHash,
    keeps: (BlobHash, String),
    reply: Published,
    purpose: Purpose,
}

/// Parts of the desk.
pub struct Setup {
    pub player: Option<PlayerName>,
    pub identity: Arc<Identity>,
    pub store: Store,
    pub offer: watch::Sender<Option<Arc<Offer>>>,
    pub file: PublishedFile,
}

pub struct OwnLook {
    player: Option<PlayerName>,
    identity: Arc<Identity>,
    store: Store,
    offer: watch::Sender<Option<Arc<Offer>>>,
    what: Option<What>,
    seq: u64,
    /// Unpacked files of an archive have no other copy.
    pin: Option<Pin>,
    file: PublishedFile,
    /// The file's content: the look, and the request for it.
    kept: Option<(BlobHash, String)>,
    rescanning: bool,
    rescan_at: Option<Instant>,
    look_at: Option<Instant>,
    /// Why the look could not be read again the last time.
    trouble: Option<String>,
    /// Numbers of the last request and of the newest applied one: results of superseded scans are dropped.
    asked: u64,
    published: u64,
    next: u64,
    scans: BTreeMap<ScanId, Scan>,
    writings: BTreeMap<ScanId, Writing>,
}

impl OwnLook {
    /// Offers the look of before the restart at once, and has it scanned again.
    pub fn new(setup: Setup, now: Now, orders: &mut Orders) -> Self {
        let Setup { player, identity, store, offer, file } = setup;
        let mut desk = Self {
            player,
            identity,
            store,
            offer,
            what: None,
            seq: 0,
            pin: None,
            file,
            kept: None,
            rescanning: false,
            rescan_at: None,
            look_at: None,
            trouble: None,
            asked: 0,
            published: 0,
            next: 0,
            scans: BTreeMap::new(),
            writings: BTreeMap::new(),
        };
        desk.restore(now, orders);
        desk
    }

    pub fn handle(&mut self, now: Now, input: Input, orders: &mut Orders) {
        match input {
            Input::SourceChanged => {
                if !std::mem::replace(&mut self.rescanning, true) {
                    self.rescan_at = Some(now.at + SETTLE);
                }
            }
            Input::Damaged => {
                if !std::mem::replace(&mut self.rescanning, true) {
                    self.rescan(orders);
                }
            }
            Input::LookedAt(look, missing) => self.looked_at(look, missing, orders),
            Input::Scanned(id, result) => self.scanned(now, id, result, orders),
            Input::Written(id, result) => self.written(id, result),
            Input::Time => {
                if self.rescan_at.take_if(|at| now.at >= *at).is_some() {
                    self.rescan(orders);
                }
                if self.look_at.take_if(|at| now.at >= *at).is_some() {
                    self.look(now, orders);
                }
            }
        }
    }

    /// Why the look could not be read again, if that is so. Without a published look: it is offered to nobody, and is
    /// read again each minute.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Has the published files looked at, or a look that could not be read read again.
    fn look(&mut self, now: Now, orders: &mut Orders) {
        self.look_at = Some(now.at + LOOK_PERIOD);
        let offer = self.offer.borrow().clone();
        match offer {
            Some(offer) if self.trouble.is_none() => orders.add(Order::LookAtOffer(offer)),
            _ if self.rescanning => {}
            _ => self.rescan(orders),
        }
    }

    fn looked_at(&mut self, look: BlobHash, missing: usize, orders: &mut Orders) {
        let offered = self.offer.borrow().as_ref().map(|offer| offer.appearance);
        if missing == 0 || offered != Some(look) {
            return;
        }
        match &self.trouble {
            // Nobody is told a look that cannot be served.
            Some(why) => {
                tracing::warn!(
                    "{} of the published look cannot be served: nothing is published until it can be read again ({why})",
                    size::count(u64_of(missing), "file")
                );
                (self.pin, self.kept) = (None, None);
                self.unoffer(orders);
            }
            None if self.rescanning => {}
            None => self.rescan(orders),
        }
    }

    fn unoffer(&self, orders: &mut Orders) {
        if self.offer.send_replace(None).is_some() {
            orders.add(Order::AnnounceLook);
            orders.tell(Event::AppearancePublished { appearance: None, files: 0, bytes: 0 });
        }
    }

    /// When [`Input::Time`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.rescan_at.into_iter().chain(self.look_at).min()
    }

    /// Has a look scanned, and publishes it. Answered when the look is on the disk.
    pub fn publish(&mut self, what: What, orders: &mut Orders) -> Later<Published> {
        self.asked += 1;
        let (answer, answered) = oneshot::channel();
        match self.scan(self.asked, what, Purpose::Asked(answer), None, orders) {
            Ok(()) => Box::pin(async { answered.await.unwrap_or_else(|_| Err(internal())) }),
            Err(fault) => at_once(Err(fault)),
        }
    }

    /// Withdraws the published look. Answered when the file is removed.
    pub fn withdraw(&mut self, orders: &mut Orders) -> Later<Empty> {
        self.asked += 1;
        (self.published, self.what) = (self.asked, None);
        (self.pin, self.kept) = (None, None);
        (self.look_at, self.trouble) = (None, None);
        self.unoffer(orders);
        let removed = self.file.remove();
        Box::pin(async {
            removed.await.map(|()| Empty {}).map_err(|error| {
                let says = format!("the look would come back after a restart, because {error}");
                Fault::new(FaultCode::Io, says)
            })
        })
    }

    /// Whether the published look contains this blob.
    pub fn names(&self, hash: &BlobHash) -> bool {
        self.offer.borrow().as_ref().is_some_and(|offer| offer.blobs.contains_key(hash))
    }

    /// Orders a scan for the request with this number.
    fn scan(
        &mut self,
        number: u64,
        what: What,
        purpose: Purpose,
        after: Option<Keeping>,
        orders: &mut Orders,
    ) -> Result<(), Fault> {
        if self.player.is_none() {
            return Err(Fault::new(
                FaultCode::NoPlayer,
                "the daemon does not know whose look this is: start it with --player \"NAME@WORLD\"",
            ));
        }
        if let What::Mod(publish) = &what
            && !Path::new(&publish.path).is_absolute()
        {
            return Err(bad_path("the mod"));
        }
        let id = ScanId(self.next);
        self.next += 1;
        orders.add(Order::Scan { id, what: what.clone(), after });
        self.scans.insert(id, Scan { number, what, purpose });
        Ok(())
    }

    fn scanned(&mut self, now: Now, id: ScanId, result: Result<Scanned, Fault>, orders: &mut Orders) {
        let Some(Scan { number, what, purpose }) = self.scans.remove(&id) else { return };
        match result.and_then(|scanned| self.apply(now, number, what, scanned, orders)) {
            Ok(reply) => self.keep(id, reply, purpose, orders),
            Err(fault) => {
                let offer = self.offer.borrow().clone();
                if let Purpose::Again = purpose
                    && let Some(offer) = offer
                {
                    orders.add(Order::LookAtOffer(offer));
                }
                self.done(purpose, Err(fault));
            }
        }
    }

    fn apply(
        &mut self,
        now: Now,
        number: u64,
        what: What,
        scanned: Scanned,
        orders: &mut Orders,
    ) -> Answer<Published> {
        let Some(player) = self.player.clone() else { return Err(internal()) };
        let Scanned { look, left_out } = scanned;
        let hash = look.hash();
        let (files, bytes) = look.totals();
        let reply = Published { appearance: hash, files, bytes, left_out };
        if number < self.published {
            return Ok(reply);
        }
        (self.published, self.what) = (number, Some(what));
        (self.look_at, self.trouble) = (Some(now.at + LOOK_PERIOD), None);
        self.file.end_reading();
        if self.offer.borrow().as_ref().is_some_and(|offer| offer.appearance == hash) {
            return Ok(reply);
        }
        self.seq = (self.seq + 1).max(now.unix_ms);
        let appearance = Appearance { v: APPEARANCE_VERSION, seq: self.seq, player, look };
        let document = SignedAppearance::sign(&appearance, self.identity.key()).to_bytes();
        if document.len() > APPEARANCE_BYTES_MAX {
            let says = format!(
                "the list of this look's files takes {} bytes, and the limit is {APPEARANCE_BYTES_MAX}",
                document.len()
            );
            return Err(Fault::new(FaultCode::TooLarge, says));
        }
        self.offer(&appearance, document, orders);
        let (shown, left_out) = (size::count(files, "file"), reply.left_out.len());
        tracing::info!("published a look of {shown}, {}; {left_out} left out", size::words(bytes));
        Ok(reply)
    }

    fn offer(&mut self, appearance: &Appearance, document: Vec<u8>, orders: &mut Orders) {
        let look = &appearance.look;
        let (hash, (files, bytes)) = (look.hash(), look.totals());
        let blobs: HashMap<_, _> = look.blobs().into_iter().map(|(hash, (size, _))| (hash, size)).collect();
        self.pin = Some(self.store.pin(blobs.keys().copied()));
        self.offer.send_replace(Some(Arc::new(Offer { appearance: hash, document, blobs })));
        orders.add(Order::AnnounceLook);
        orders.tell(Event::AppearancePublished { appearance: Some(hash), files, bytes });
    }

    /// Saves the published look, unless the file has it already. The answer follows the write.
    fn keep(&mut self, id: ScanId, reply: Published, purpose: Purpose, orders: &mut Orders) {
        let now = self.what.as_ref().zip(self.offer.borrow().clone());
        let Some((what, offer)) = now else { return self.done(purpose, Ok(reply)) };
        let text = serde_json::to_string(what).unwrap_or_default();
        let keeps = (offer.appearance, text.clone());
        if self.kept.as_ref() == Some(&keeps) {
            return self.done(purpose, Ok(reply));
        }
        // The file's content is unknown until the write ends: an equal request is written again.
        self.kept = None;
        let saved = codec::encode(&Saved { document: offer.document.clone(), what: text });
        orders.add(Order::Await(self.file.write(saved), Write::OwnLook(id)));
        self.writings.insert(id, Writing { look: offer.appearance, keeps, reply, purpose });
    }

    fn written(&mut self, id: ScanId, result: Kept) {
        let Some(Writing { look, keeps, reply, purpose }) = self.writings.remove(&id) else { return };
        let answer = match result {
            Ok(()) => {
                // Another look may be offered by now.
                let offered = self.offer.borrow().as_ref().map(|offer| offer.appearance);
                if offered == Some(look) {
                    self.kept = Some(keeps);
                }
                Ok(reply)
            }
            Err(error) => {
                let says = format!("the look is published until the daemon stops, because {error}");
                Err(Fault::new(FaultCode::Io, says))
            }
        };
        self.done(purpose, answer);
    }

    fn done(&mut self, purpose: Purpose, answer: Answer<Published>) {
        match purpose {
            // A client that has left needs no answer.
            Purpose::Asked(asked) => {
                asked.send(answer).ok();
            }
            Purpose::Again => {
                self.rescanning = false;
                self.file.end_reading();
                if let Err(fault) = answer {
                    self.unread(fault);
                }
            }
        }
    }

    fn restore(&mut self, now: Now, orders: &mut Orders) {
        let Some((saved, appearance)) = self.read_saved() else { return };
        if Some(&appearance.player) != self.player.as_ref() {
            return;
        }
        self.seq = appearance.seq;
        self.what = serde_json::from_str(&saved.what).ok();
        self.look_at = Some(now.at + LOOK_PERIOD);
        // A document that a former key signed is signed again after the scan.
        if SignedAppearance::open(&saved.document, &self.identity.peer_id()).is_ok() {
            self.offer(&appearance, saved.document, orders);
        }
        self.handle(now, Input::Damaged, orders);
    }

    fn read_saved(&mut self) -> Option<(Saved, Appearance)> {
        let bytes = self.file.take_found()?;
        let read = codec::decode::<Saved>(&bytes).map_err(|error| error.to_string()).and_then(|saved| {
            let here = self.identity.peer_id();
            let former = self.identity.changes().iter().rev().map(|change| change.from);
            let mut opened = SignedAppearance::open(&saved.document, &here);
            for key in former {
                opened =
                    opened.or_else(|error| SignedAppearance::open(&saved.document, &key).map_err(|_| error));
            }
            opened.map(|appearance| (saved, appearance)).map_err(|error| error.to_string())
        });
        match read {
            Ok(saved) => Some(saved),
            Err(error) => {
                tracing::warn!("the saved look cannot be read ({error}): publish it again");
                None
            }
        }
    }

    fn rescan(&mut self, orders: &mut Orders) {
        self.rescanning = false;
        let Some(what) = self.what.clone() else { return };
        let Some(counted) = self.file.begin_reading() else {
            tracing::error!(
                "the daemon ended during each of the last scans of the published look, so the look stays as it was: \
                 check the mod, and publish it again"
            );
            return;
        };
        // A full disk does not count the scan, which is then tried all the same.
        match self.scan(self.published, what, Purpose::Again, Some(counted), orders) {
            Ok(()) => self.rescanning = true,
            Err(fault) => {
                self.file.end_reading();
                self.unread(fault);
            }
        }
    }

    fn unread(&mut self, Fault { message, .. }: Fault) {
        // It may be withdrawn by now.
        if self.what.is_none() {
            return;
        }
        // It is read again each minute.
        if self.trouble.as_ref() != Some(&message) {
            tracing::warn!("the published look could not be read again: {message}");
        }
        self.trouble = Some(message);
    }
}

/// The fault of a look that cannot be scanned.
pub fn scan_fault(error: &ScanError) -> Fault {
    match error {
        ScanError::Mod(ModError::NoSpace(full)) if full.is_disk_full() => Fault::new(
            FaultCode::DiskFull,
            format!(
                "{error}: free some space, or unpack it elsewhere and publish the folder; no unpacked file was kept"
            ),
        ),
        ScanError::Nothing { .. } => Fault::new(FaultCode::BadMod, error.to_string()),
        ScanError::Mod(error) => Fault::new(FaultCode::BadMod, error.to_string()),
        ScanError::Look(error) => {
            Fault::new(FaultCode::TooLarge, format!("this look cannot be shared: {error}"))
        }
        ScanError::Scratch(_) => Fault::new(FaultCode::Io, error.to_string()),
        ScanError::Store(error) => store_fault(error),
    }
}

#[cfg(test)]
mod tests;
