//! Fetching looks: runs the machine ([`Fetches`]), and keeps what the machine must not know: channels of waiters,
//! documents, paths.

mod faults;
mod orders;
#[cfg(test)]
mod tests;

pub use orders::{HandOut, Input, Order, Planning};

use super::{
    faults::{bad_path, internal},
    orders::{Answer, DeskOrder, Later, Now, Orders, at_once},
};
use crate::{
    io::{
        store::{Evicted, Pin, Store},
        wall_clock::unix_millis,
    },
    ledger::Accounts,
    pumps::{
        plan::{Plan, Space},
        pull::{self, Note},
    },
    sharing::lending::Lending,
};
use faults::{document_failure, plan_failure, planned, unkept, unready};
use fyteclub_logging::SELDOM;
use fyteclub_proto::{
    fetching::{
        fetch::{self, Ask, Fetches, FolderId, Output, Run, WaiterId, Written},
        transfer,
    },
    grant::Grant,
    id::{PeerId, PlayerName},
    ledger::{Counterpart, Item},
    local::{
        Event, Fault, FaultCode,
        reply::{Empty, Fetched},
        request::PeerFetch,
    },
    number::u64_of,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Parts that the desk shares with others.
#[derive(Clone)]
pub struct Shared {
    pub store: Store,
    pub lending: Lending,
    pub accounts: Accounts,
    /// This daemon's player.
    pub player: Option<PlayerName>,
}

pub struct Fetching {
    machine: Fetches,
    shared: Shared,
    waiters: BTreeMap<WaiterId, Waiting>,
    /// Numbers waiters and folders.
    next: u64,
    works: BTreeMap<Run, Work>,
    /// The document of the current input.
    document: Option<(Vec<u8>, Grant)>,
}

/// A client that waits for a look, and the folder to write it to.
struct Waiting {
    out: Option<PathBuf>,
    folder: Option<FolderId>,
    answer: oneshot::Sender<Answer<Fetched>>,
    /// Cancelled when the local client has left. `answer` does not show that: a task of actix's holds its other end.
    left: CancellationToken,
}

/// The desk's part of a planned attempt.
struct Work {
    plan: Arc<Plan>,
    grant: Grant,
    /// Keeps the files of a look that is being handed out.
    pin: Option<Pin>,
}

impl Fetching {
    /// `prefetch`: the most bytes that prefetches may store.
    pub fn new(prefetch: u64, shared: Shared, now: Instant) -> Self {
        Self {
            machine: Fetches::new(prefetch, now),
            shared,
            waiters: BTreeMap::new(),
            next: 0,
            works: BTreeMap::new(),
            document: None,
        }
    }

    /// The machine, to ask.
    pub fn fetches(&self) -> &Fetches {
        &self.machine
    }

    /// Fetches a player's look for a client. `key`: the contact's, or why nothing can be fetched. Answered when the
    /// look is verified, stored, and written to `out` if there is one.
    pub fn fetch(
        &mut self,
        now: Instant,
        PeerFetch { player, out }: PeerFetch,
        key: Answer<PeerId>,
        left: CancellationToken,
        orders: &mut Orders,
    ) -> Later<Fetched> {
        let out = out.map(PathBuf::from);
        if out.as_ref().is_some_and(|out| !out.is_absolute()) {
            return at_once(Err(bad_path("the folder to write to")));
        }
        let key = if self.shared.player.as_ref() == Some(&player) {
            let says = format!("{player} is this daemon's own player: there is nothing to fetch");
            Err(Fault::new(FaultCode::BadRequest, says))
        } else {
            key
        };
        self.next += 1;
        let id = self.next;
        let folder = out.is_some().then(|| {
            // Waiters with the same folder share one write.
            let same = self.waiters.values().find(|other| other.out == out);
            same.and_then(|other| other.folder).unwrap_or(id)
        });
        let (answer, answered) = oneshot::channel();
        self.waiters.insert(id, Waiting { out, folder, answer, left });
        let asked = fetch::Input::Asked { player, key, waiter: id, folder };
        self.handle(now, Input::Machine(asked), orders);
        Box::pin(async { answered.await.unwrap_or_else(|_| Err(internal())) })
    }

    /// Ends a fetch or its wait for a turn, for a person. `key`: the contact's, if it is known.
    ///
    /// # Errors
    /// Nothing of this player is being fetched.
    pub fn cancel(
        &mut self,
        now: Instant,
        player: PlayerName,
        key: Option<PeerId>,
        orders: &mut Orders,
    ) -> Answer<Empty> {
        if !self.machine.can_decline(&player, key) {
            return Err(Fault::new(FaultCode::BadRequest, format!("nothing of {player} is being fetched")));
        }
        self.handle(now, Input::Machine(fetch::Input::Declined { player, key }), orders);
        Ok(Empty {})
    }

    /// The player has withdrawn consent to this key: nothing of it is fetched or lent any more. `why`: the answer to
    /// waiters for a player with this key.
    pub fn forget(
        &mut self,
        now: Instant,
        key: PeerId,
        why: impl Fn(&PlayerName) -> Fault,
        orders: &mut Orders,
    ) {
        self.shared.lending.forget(&key);
        for player in self.machine.players_of(key) {
            let fault = why(&player);
            self.handle(now, Input::Machine(fetch::Input::Failed { player, fault }), orders);
        }
        self.handle(now, Input::Machine(fetch::Input::Removed(key)), orders);
    }

    /// Asks linked owners for the next grants of looks that are lent, where they are due.
    pub fn renew_grants(&self, now: Now, is_linked: impl Fn(&PeerId) -> bool, orders: &mut Orders) {
        for (owner, look) in self.shared.lending.due(now.unix_ms, is_linked) {
            orders.fetch(Order::AskGrant { owner, look });
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input, orders: &mut Orders) {
        match input {
            Input::Machine(input) => self.machine.handle(now, input),
            Input::Document { peer, run, result } => {
                let result = match result {
                    Ok((document, grant)) => {
                        let bytes = u64_of(document.len());
                        self.document = Some((document, grant));
                        Ok(bytes)
                    }
                    Err(error) => Err(document_failure(&error)),
                };
                self.machine.handle(now, fetch::Input::Document { peer, run, result });
            }
            Input::Planned { player, run, grant, result } => {
                let result = match result {
                    Ok(plan) => {
                        let summary = planned(&plan);
                        self.works.insert(run, Work { plan: Arc::new(plan), grant, pin: None });
                        Ok(summary)
                    }
                    Err(error) => Err(plan_failure(error)),
                };
                self.machine.handle(now, fetch::Input::Planned { player, run, result });
            }
            Input::Noted { player, run, note } => {
                let input = match note {
                    Note::Progress { facts, wire } => fetch::Input::Received { player, run, facts, wire },
                    Note::Local(error) => fetch::Input::Unkept { player, run, why: unkept(&error) },
                };
                self.machine.handle(now, input);
            }
            Input::Written { player, run, folders, result } => {
                self.drop_departed(now);
                let result = match result {
                    Ok(fetched) => Ok(Written { folders, fetched: Box::new(fetched) }),
                    Err(error) => Err(unready(&error)),
                };
                self.machine.handle(now, fetch::Input::Written { player, run, result });
            }
            Input::Tick => {
                self.drop_departed(now);
                self.machine.handle(now, fetch::Input::Tick);
            }
        }
        while let Some(output) = self.machine.poll() {
            self.carry_out(now, output, orders);
        }
        self.document = None;
        self.works.retain(|run, _| self.machine.holds(*run));
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline().map(|(at, _)| at)
    }

    /// Answers all waiters. Nothing is fetched afterwards.
    pub fn close(&mut self, fault: &Fault) {
        for waiting in std::mem::take(&mut self.waiters).into_values() {
            // A client that has left needs no answer.
            waiting.answer.send(Err(fault.clone())).ok();
        }
    }

    /// Tells the machine of waiters whose clients have left.
    fn drop_departed(&mut self, now: Instant) {
        let left = self.waiters.extract_if(.., |_, waiting| waiting.left.is_cancelled());
        for id in left.map(|(id, _)| id).collect::<Vec<_>>() {
            self.machine.handle(now, fetch::Input::Left(id));
        }
    }

    fn carry_out(&mut self, now: Instant, output: Output, orders: &mut Orders) {
        let order = match output {
            Output::Want(peer) => Order::Want(peer),
            Output::Leave(peer) => Order::Leave(peer),
            Output::AskDocument { peer, run, anyway } => match self.charge(peer, anyway) {
                None => Order::AskAppearance { peer, run },
                Some(pause) => {
                    return self.machine.handle(now, fetch::Input::Postponed { peer, run, pause });
                }
            },
            Output::Plan { player, peer, run, evict } => {
                let Some((document, grant)) = self.document.take() else { return };
                let space = if evict { Space::Evicted } else { Space::Free };
                Order::Plan(Planning { player, peer, run, document, grant, space })
            }
            Output::Begin { peer, run, .. } => {
                let Some(work) = self.works.get(&run) else { return };
                let Evicted { files, bytes } = work.plan.evicted;
                if files > 0 {
                    orders.tell(Event::CacheEvicted { files, bytes });
                }
                Order::Borrow { owner: peer, grant: work.grant.clone(), plan: work.plan.clone() }
            }
            Output::Settle { owner, look } => return self.shared.lending.settle(&owner, &look),
            Output::AskHolding { peer, owner, look } => Order::AskHolding { peer, owner, look },
            Output::Ask(ask) => return self.pull(now, ask, orders),
            Output::Drop { source, number } => Order::StopPull { source, number },
            Output::Prove { run } => {
                let Some(work) = self.works.get(&run) else { return };
                Order::Prove(work.plan.clone())
            }
            Output::HandOut { player, run, folders } => {
                let Some(order) = self.hand_out(player, run, folders) else { return };
                order
            }
            Output::Show { player, run } => {
                let pin = self.works.get_mut(&run).and_then(|work| work.pin.take());
                let Some(pin) = pin else { return };
                return orders.add(DeskOrder::Show { player, pin });
            }
            Output::Unused(blobs) => return self.shared.store.unused(&blobs),
            Output::Answer { waiter, result } => return self.answer(waiter, result),
            Output::Failed { player, fault, told } => {
                tracing::info!(name: SELDOM, %player, "a fetch failed: {}", fault.code.briefly());
                tracing::debug!(%player, "a fetch failed: {fault}");
                if told {
                    orders.tell(Event::TransferFailed { player, error: fault });
                }
                return;
            }
            Output::Ban { peer, code } => Order::Ban { peer, code },
            Output::DiskFull => return orders.add(DeskOrder::DiskFull),
            Output::Tell(event) => {
                if let Event::TransferSuspect { source, hash, .. } = &event {
                    tracing::warn!(peer = %source.short(), "a source sent wrong bytes of {hash}");
                }
                return orders.tell(event);
            }
        };
        orders.fetch(order);
    }

    /// Charges one document to its owner. Returns the pause after a refusal.
    fn charge(&self, peer: PeerId, anyway: bool) -> Option<Duration> {
        /// Used when the ledger names no time.
        const PAUSE: Duration = Duration::from_millis(1500);
        let charged = self.shared.accounts.charge(&Counterpart::Contact(peer), Item::Documents, 1);
        charged.err().filter(|_| !anyway).map(|refused| refused.retry_after.unwrap_or(PAUSE))
    }

    fn pull(&mut self, now: Instant, ask: Ask, orders: &mut Orders) {
        let Ask { player, run, source, owner, look, request, number, pieces } = ask;
        // A lender requires a grant. The newest one: a fetch may last longer than a grant.
        let lending = &self.shared.lending;
        let grant = if owner == source { None } else { lending.grant(&owner, &look, unix_millis()) };
        let Some(work) = self.works.get(&run).filter(|_| owner == source || grant.is_some()) else {
            let facts = vec![transfer::Input::Ended { request, end: transfer::End::Refused }];
            return self.machine.handle(now, fetch::Input::Received { player, run, facts, wire: 0 });
        };
        let targets = pieces.iter().filter_map(|piece| work.plan.target(*piece)).collect();
        let ask = pull::Ask { request, targets, grant };
        orders.fetch(Order::Pull { source, number, player, run, ask });
    }

    fn hand_out(
        &mut self,
        player: PlayerName,
        run: Run,
        folders: BTreeMap<FolderId, Vec<WaiterId>>,
    ) -> Option<Order> {
        let work = self.works.get_mut(&run)?;
        let blobs = || work.plan.look.blobs().into_keys();
        if work.pin.is_none() {
            work.pin = Some(self.shared.store.pin(blobs()));
        }
        let waiters = &self.waiters;
        let folder = |(folder, ids): (FolderId, Vec<WaiterId>)| {
            let asked: Vec<_> = ids.iter().filter_map(|id| waiters.get(id)).collect();
            let out = asked.first()?.out.clone()?;
            Some((folder, out, asked.iter().map(|waiting| waiting.left.clone()).collect()))
        };
        let folders = folders.into_iter().filter_map(folder).collect();
        Some(Order::HandOut(HandOut { player, run, plan: work.plan.clone(), folders }))
    }

    fn answer(&mut self, waiter: WaiterId, result: Result<Box<Fetched>, Fault>) {
        let Some(Waiting { out, answer, .. }) = self.waiters.remove(&waiter) else { return };
        let out = out.map(|out| out.to_string_lossy().into_owned());
        let result = result.map(|fetched| Fetched { out, ..*fetched });
        // A client that has left needs no answer.
        answer.send(result).ok();
    }
}
