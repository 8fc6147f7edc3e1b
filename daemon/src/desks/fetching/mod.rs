//! Fetching looks: gives the machine ([`Fetches`]) what it decides by, and keeps what it must not know: who waits on which
//! channel, what a document says, where files lie.

mod faults;
mod orders;
#[cfg(test)]
mod tests;

pub use orders::{HandOut, Input, Order, Orders, Planning, Waiter};

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
use fyteclub_proto::{
    fetching::{
        fetch::{self, Ask, Fetches, FolderId, Output, Run, WaiterId, Written},
        transfer,
    },
    grant::Grant,
    id::{PeerId, PlayerName},
    ledger::{Counterpart, Item},
    local::{Event, Fault, reply::Fetched},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// What the desk shares with others.
#[derive(Clone)]
pub struct Shared {
    pub store: Store,
    pub lending: Lending,
    pub accounts: Accounts,
}

pub struct Fetching {
    machine: Fetches,
    shared: Shared,
    waiters: BTreeMap<WaiterId, Waiting>,
    /// Numbers waiters and folders.
    next: u64,
    works: BTreeMap<Run, Work>,
    /// The document that came with this input.
    document: Option<(Vec<u8>, Grant)>,
}

struct Waiting {
    waiter: Waiter,
    folder: Option<FolderId>,
}

/// What belongs to a planned attempt.
struct Work {
    plan: Arc<Plan>,
    grant: Grant,
    /// Keeps the files of a look that is being handed out.
    pin: Option<Pin>,
}

impl Fetching {
    /// `prefetch`: bytes of looks that may be brought before anybody needs them.
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

    /// The rules' view of what is fetched.
    pub fn fetches(&self) -> &Fetches {
        &self.machine
    }

    pub fn handle(&mut self, now: Instant, input: Input, orders: &mut Orders) {
        match input {
            Input::Asked { player, key, waiter } => self.asked(now, player, key, waiter),
            Input::Machine(input) => self.machine.handle(now, input),
            Input::Document { peer, run, result } => {
                let result = match result {
                    Ok((document, grant)) => {
                        let bytes = document.len() as u64;
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
                    Note::Progress { facts, wire } => fetch::Input::Heard { player, run, facts, wire },
                    Note::Local(error) => fetch::Input::Unkept { player, run, why: unkept(&error) },
                };
                self.machine.handle(now, input);
            }
            Input::Written { player, run, folders, result } => {
                self.drop_who_left(now);
                let result = match result {
                    Ok(fetched) => Ok(Written { folders, fetched: Box::new(fetched) }),
                    Err(error) => Err(unready(&error)),
                };
                self.machine.handle(now, fetch::Input::Written { player, run, result });
            }
            Input::Tick => {
                self.drop_who_left(now);
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

    /// Answers everybody who waits; nothing is fetched after that.
    pub fn close(&mut self, fault: &Fault) {
        for waiting in std::mem::take(&mut self.waiters).into_values() {
            // Who left does not want to know.
            waiting.waiter.answer.send(Err(fault.clone())).ok();
        }
    }

    fn asked(&mut self, now: Instant, player: PlayerName, key: Result<PeerId, Fault>, waiter: Waiter) {
        self.next += 1;
        let id = self.next;
        let folder = waiter.out.as_ref().map(|out| {
            // Who wants the same folder waits for the same write.
            let same = self.waiters.values().find(|other| other.waiter.out.as_ref() == Some(out));
            same.and_then(|other| other.folder).unwrap_or(id)
        });
        self.waiters.insert(id, Waiting { waiter, folder });
        self.machine.handle(now, fetch::Input::Asked { player, key, waiter: id, folder });
    }

    /// Tells of the waiters whose clients have left.
    fn drop_who_left(&mut self, now: Instant) {
        let left = self.waiters.extract_if(.., |_, waiting| waiting.waiter.left.is_cancelled());
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
                    orders.push_back(Order::Tell(Event::CacheEvicted { files, bytes }));
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
                Order::Show { player, pin }
            }
            Output::Unused(blobs) => return self.shared.store.unused(&blobs),
            Output::Answer { waiter, result } => return self.answer(waiter, result),
            Output::Failed { player, fault, told } => {
                tracing::info!("a fetch failed ({:?})", fault.code);
                tracing::debug!(%player, "a fetch failed: {fault}");
                if !told {
                    return;
                }
                Order::Tell(Event::TransferFailed { player, error: fault })
            }
            Output::Ban { peer, code } => Order::Ban { peer, code },
            Output::DiskFull => Order::DiskFull,
            Output::Tell(event) => {
                if let Event::TransferSuspect { source, hash, .. } = &event {
                    tracing::warn!(peer = %source.short(), "a source sent wrong bytes of {hash}");
                }
                Order::Tell(event)
            }
        };
        orders.push_back(order);
    }

    /// Charges one document to its owner; for how long that is refused.
    fn charge(&self, peer: PeerId, anyway: bool) -> Option<Duration> {
        /// Where the ledger names no time.
        const PAUSE: Duration = Duration::from_millis(1500);
        let charged = self.shared.accounts.charge(&Counterpart::Contact(peer), Item::Documents, 1);
        charged.err().filter(|_| !anyway).map(|refused| refused.retry_after.unwrap_or(PAUSE))
    }

    fn pull(&mut self, now: Instant, ask: Ask, orders: &mut Orders) {
        let Ask { player, run, source, owner, look, request, number, pieces } = ask;
        // Somebody other than the owner wants to see why. The newest word: a fetch may last longer than one.
        let lending = &self.shared.lending;
        let grant = if owner == source { None } else { lending.grant(&owner, &look, unix_millis()) };
        let Some(work) = self.works.get(&run).filter(|_| owner == source || grant.is_some()) else {
            let facts = vec![transfer::Input::Ended { request, end: transfer::End::Refused }];
            return self.machine.handle(now, fetch::Input::Heard { player, run, facts, wire: 0 });
        };
        let targets = pieces.iter().filter_map(|piece| work.plan.target(*piece)).collect();
        let ask = pull::Ask { request, targets, grant };
        orders.push_back(Order::Pull { source, number, player, run, ask });
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
            let out: PathBuf = asked.first()?.waiter.out.clone()?;
            Some((folder, out, asked.iter().map(|waiting| waiting.waiter.left.clone()).collect()))
        };
        let folders = folders.into_iter().filter_map(folder).collect();
        Some(Order::HandOut(HandOut { player, run, plan: work.plan.clone(), folders }))
    }

    fn answer(&mut self, waiter: WaiterId, result: Result<Box<Fetched>, Fault>) {
        let Some(Waiting { waiter, .. }) = self.waiters.remove(&waiter) else { return };
        let out = waiter.out.map(|out| out.to_string_lossy().into_owned());
        let result = result.map(|fetched| Fetched { out, ..*fetched });
        // Who left does not want to know.
        waiter.answer.send(result).ok();
    }
}
