//! This player's own look: scanning it, signing it, offering it, and going on with it after a restart.

use super::{
    Coordinator,
    contacts::Later,
    verbs::{bad_path, internal},
};
use crate::{
    actors::{mod_cache::Scan, peer, unix_millis},
    io::{published::PublishedFile, store::Pin},
    penumbra::{Choice, ModError},
    pumps::scan::{ScanError, Scanned},
    sharing::published::Offer,
};
use actix::{ActorFuture, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture, fut};
use fyteclub_proto::{
    appearance::{Appearance, SignedAppearance},
    codec,
    id::BlobHash,
    limit::APPEARANCE_BYTES_MAX,
    local::{
        Event, Fault, FaultCode,
        reply::Published,
        request::{Publish, PublishMod},
    },
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Files that change come in groups: the second look waits for the rest.
const SETTLE: Duration = Duration::from_millis(500);

/// What to publish, as it was asked for; kept, to be done again when files change and after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum What {
    Mod(PublishMod),
    Plugin(Publish),
}

/// The file in which the published look survives a restart.
#[derive(Serialize, Deserialize)]
struct Saved {
    document: Vec<u8>,
    /// [`What`] as JSON, whose shapes may grow.
    what: String,
}

/// What is published now.
pub struct Own {
    offer: watch::Sender<Option<Arc<Offer>>>,
    what: Option<What>,
    seq: u64,
    /// Unpacked files of an archive are nowhere else.
    pin: Option<Pin>,
    file: PublishedFile,
    /// What the file says: the look, and what was asked for.
    kept: Option<(BlobHash, String)>,
    rescanning: bool,
    /// Numbers what was asked for, and which of it is published: a slow scan does not undo what came after it.
    asked: u64,
    published: u64,
}

impl Own {
    pub fn new(offer: watch::Sender<Option<Arc<Offer>>>, file: PublishedFile) -> Self {
        Self {
            offer,
            what: None,
            seq: 0,
            pin: None,
            file,
            kept: None,
            rescanning: false,
            asked: 0,
            published: 0,
        }
    }
}

/// A file that is published was found changed while it was served.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SourceChanged;

impl Handler<SourceChanged> for Coordinator {
    type Result = ();

    fn handle(&mut self, _: SourceChanged, ctx: &mut Self::Context) {
        if std::mem::replace(&mut self.own.rescanning, true) {
            return;
        }
        ctx.run_later(SETTLE, |coordinator, ctx| coordinator.rescan(ctx));
    }
}

type Scanning = dyn ActorFuture<Coordinator, Output = Result<Published, Fault>>;

impl Coordinator {
    /// Scans and publishes; the future ends with what `publish` answers.
    pub(super) fn scan(&mut self, what: What) -> Result<std::pin::Pin<Box<Scanning>>, Fault> {
        self.own.asked += 1;
        self.scan_as(self.own.asked, what)
    }

    fn scan_as(&mut self, number: u64, what: What) -> Result<std::pin::Pin<Box<Scanning>>, Fault> {
        let Some(player) = self.around.player.clone() else {
            return Err(Fault::new(
                FaultCode::NoPlayer,
                "the daemon does not know whose look this is: start it with --player \"NAME@WORLD\"",
            ));
        };
        let scan = match &what {
            What::Mod(publish) => {
                let path = PathBuf::from(&publish.path);
                if !path.is_absolute() {
                    return Err(bad_path("the mod"));
                }
                let choice = |choice: &fyteclub_proto::local::request::OptionChoice| Choice {
                    group: choice.group.clone(),
                    option: choice.option.clone(),
                };
                Scan::Mod { path, choices: publish.options.iter().map(choice).collect() }
            }
            What::Plugin(publish) => Scan::Plugin(publish.clone()),
        };
        let cache = self.cache.clone();
        let scanning = async move { cache.send(scan).await };
        Ok(Box::pin(scanning.into_actor(self).then(move |scanned, coordinator, _| {
            let scanned = scanned
                .map_err(|_| internal())
                .and_then(|scanned| scanned.map_err(|error| scan_fault(&error)));
            match scanned.and_then(|scanned| coordinator.publish(number, what, player, scanned)) {
                Ok(reply) => coordinator.keep_published(reply),
                Err(fault) => Box::pin(fut::ready(Err(fault))),
            }
        })))
    }

    /// Answers when the look survives a restart.
    fn keep_published(&mut self, reply: Published) -> Later<Published> {
        let now = self.own.what.as_ref().zip(self.own.offer.borrow().clone());
        let Some((what, offer)) = now else { return Box::pin(fut::ready(Ok(reply))) };
        let text = serde_json::to_string(what).unwrap_or_default();
        let keeps = Some((offer.appearance, text.clone()));
        if self.own.kept == keeps {
            return Box::pin(fut::ready(Ok(reply)));
        }
        // Nothing is until it is written: what is asked for meanwhile is written again.
        self.own.kept = None;
        let saved = codec::encode(&Saved { document: offer.document.clone(), what: text });
        Box::pin(self.own.file.write(saved).into_actor(self).map(move |kept, coordinator, _| {
            let error = match kept {
                Ok(()) => {
                    // Unless it is something else by now.
                    let offered = coordinator.own.offer.borrow().as_ref().map(|offer| offer.appearance);
                    if offered == Some(offer.appearance) {
                        coordinator.own.kept = keeps;
                    }
                    return Ok(reply);
                }
                Err(error) => error,
            };
            let says = format!("the look is published until the daemon stops, because {error}");
            Err(Fault::new(FaultCode::Io, says))
        }))
    }

    fn publish(
        &mut self,
        number: u64,
        what: What,
        player: fyteclub_proto::id::PlayerName,
        scanned: Scanned,
    ) -> Result<Published, Fault> {
        let Scanned { look, left_out } = scanned;
        let hash = look.hash();
        let (files, bytes) = look.totals();
        let reply = Published { appearance: hash, files, bytes, left_out };
        if number < self.own.published {
            return Ok(reply);
        }
        (self.own.published, self.own.what) = (number, Some(what));
        self.own.file.end_reading();
        if self.own.offer.borrow().as_ref().is_some_and(|offer| offer.appearance == hash) {
            return Ok(reply);
        }
        self.own.seq = (self.own.seq + 1).max(unix_millis());
        let appearance =
            Appearance { v: fyteclub_proto::version::APPEARANCE_VERSION, seq: self.own.seq, player, look };
        let document = SignedAppearance::sign(&appearance, self.identity.key()).to_bytes();
        if document.len() > APPEARANCE_BYTES_MAX {
            let says = format!(
                "the list of this look's files takes {} bytes, and {APPEARANCE_BYTES_MAX} travel at most",
                document.len()
            );
            return Err(Fault::new(FaultCode::TooLarge, says));
        }
        self.offer(&appearance, document);
        tracing::info!("published a look of {files} files, {bytes} bytes; {} left out", reply.left_out.len());
        Ok(reply)
    }

    fn offer(&mut self, appearance: &Appearance, document: Vec<u8>) {
        let look = &appearance.look;
        let (hash, (files, bytes)) = (look.hash(), look.totals());
        let blobs: std::collections::HashMap<_, _> =
            look.blobs().into_iter().map(|(hash, (size, _))| (hash, size)).collect();
        self.own.pin = Some(self.store().pin(blobs.keys().copied()));
        self.own.offer.send_replace(Some(Arc::new(Offer { appearance: hash, document, blobs })));
        self.announce();
        self.bus.publish(Event::AppearancePublished { appearance: Some(hash), files, bytes });
    }

    fn announce(&self) {
        self.peers.values().for_each(|known| known.actor.do_send(peer::OurLook));
    }

    pub(super) fn withdraw(&mut self) -> Later<()> {
        self.own.asked += 1;
        (self.own.published, self.own.what) = (self.own.asked, None);
        (self.own.pin, self.own.kept) = (None, None);
        if self.own.offer.send_replace(None).is_some() {
            self.announce();
            self.bus.publish(Event::AppearancePublished { appearance: None, files: 0, bytes: 0 });
        }
        Box::pin(self.own.file.remove().into_actor(self).map(|gone, _, _| {
            gone.map_err(|error| {
                let says = format!("the look would come back after a restart, because {error}");
                Fault::new(FaultCode::Io, says)
            })
        }))
    }

    /// Offers what was published before the restart, at once, and then looks whether it is still so.
    pub(super) fn restore(&mut self, ctx: &mut Context<Self>) {
        let Some((saved, appearance)) = self.read_saved() else { return };
        if Some(&appearance.player) != self.around.player.as_ref() {
            return;
        }
        self.own.seq = appearance.seq;
        self.own.what = serde_json::from_str(&saved.what).ok();
        // What a former key signed is signed anew, once it is read.
        if SignedAppearance::open(&saved.document, &self.identity.peer_id()).is_ok() {
            self.offer(&appearance, saved.document);
        }
        self.rescan(ctx);
    }

    fn read_saved(&mut self) -> Option<(Saved, Appearance)> {
        let bytes = self.own.file.take_found()?;
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
                tracing::warn!(
                    "what was published before the restart cannot be read ({error}): publish it again"
                );
                None
            }
        }
    }

    /// Looks at once whether what is published is still so.
    pub(super) fn reread(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::replace(&mut self.own.rescanning, true) {
            self.rescan(ctx);
        }
    }

    fn rescan(&mut self, ctx: &mut Context<Self>) {
        self.own.rescanning = false;
        let Some(what) = self.own.what.clone() else { return };
        let Some(counted) = self.own.file.begin_reading() else {
            tracing::error!(
                "the published look was read again and again and the daemon ended each time, so it stays as it was: \
                 look at the mod, and publish it again"
            );
            return;
        };
        match self.scan_as(self.own.published, what) {
            Ok(scan) => {
                self.own.rescanning = true;
                // On a disk that is full nothing is counted, and a reading is still better than none.
                let scan = counted.into_actor(self).then(|_, _, _| scan);
                ctx.spawn(scan.map(|result, coordinator, _| {
                    coordinator.own.rescanning = false;
                    coordinator.own.file.end_reading();
                    if let Err(fault) = result {
                        tracing::warn!("the published look could not be read again: {fault}");
                    }
                }));
            }
            Err(fault) => {
                self.own.file.end_reading();
                tracing::warn!("the published look could not be read again: {fault}");
            }
        }
    }
}

fn scan_fault(error: &ScanError) -> Fault {
    match error {
        ScanError::Mod(ModError::Room(full)) if full.is_disk_full() => Fault::new(
            FaultCode::DiskFull,
            format!(
                "{error}: make room, or unpack it elsewhere and publish the folder; nothing of it was kept"
            ),
        ),
        ScanError::Nothing { .. } => Fault::new(FaultCode::BadMod, error.to_string()),
        ScanError::Mod(error) => Fault::new(FaultCode::BadMod, error.to_string()),
        ScanError::Look(error) => {
            Fault::new(FaultCode::TooLarge, format!("this look cannot be shared: {error}"))
        }
        ScanError::Scratch(_) => Fault::new(FaultCode::Io, error.to_string()),
        ScanError::Store(error) => crate::desks::fetching::store_fault(error),
    }
}
