//! One task that carries everything the switchboard needs of Redis, in the order in which it was asked for.
//!
//! What waits is asked together: one round trip for all questions, one for all dispatches that follow. When Redis is
//! gone, what is said here is charged by the own budgets alone, and what would leave the house is dropped.

use super::{Away, Errand, Payer, Shared, budgets, presence::Seat};
use crate::{
    desk::Desk,
    limits::Class,
    problem::Problem,
    switchboard::{ClientId, Input},
};
use fyteclub_proto::{id::PeerId, phonebook::between::Dispatch};
use redis::{Pipeline, Value};
use std::sync::{Arc, PoisonError};

/// Errands of one round trip.
const AT_ONCE: usize = 128;
/// Clients that are remembered to have greeted while Redis was gone. Others win or lose by chance.
const LATE_MAX: usize = 1 << 17;

/// Runs until dropped.
pub(super) async fn carry(desk: Arc<Desk>, shared: Arc<Shared>) {
    let errands = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut errands) = errands else { return };
    let mut batch = Vec::with_capacity(AT_ONCE);
    while errands.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut questions = Pipeline::with_capacity(AT_ONCE);
        for errand in &batch {
            shared.ask_for(errand, &desk, &mut questions);
        }
        let answers = shared.wire.ask(&questions).await;
        let mut answers = answers.map(Vec::into_iter);
        let mut dispatches = Pipeline::new();
        for errand in batch.drain(..) {
            let count = errand.questions(&shared);
            let answer = match &mut answers {
                Ok(values) => Ok(values.by_ref().take(count).collect::<Vec<_>>()),
                Err(Away) => Err(Away),
            };
            shared.settle(errand, answer, &desk, &mut dispatches);
        }
        shared.dispatch(&dispatches).await;
    }
}

impl Errand {
    /// How many questions it has.
    fn questions(&self, shared: &Shared) -> usize {
        match self {
            Self::Say { .. } => {
                let rates = &shared.rates;
                let of = |rate: Option<_>| usize::from(rate.is_some());
                of(rates.by_address(Class::Introduction)) + of(rates.by_key(Class::Introduction))
            }
            _ => 1,
        }
    }
}

impl Shared {
    fn ask_for(&self, errand: &Errand, desk: &Desk, questions: &mut Pipeline) {
        match errand {
            Errand::Arrived { key, client } => {
                questions.add_command(self.seat(key, *client));
            }
            Errand::Say { key, address, .. } => {
                for payer in [Payer::Address(*address), Payer::Key(key)] {
                    if let Some(charge) = self.charge_command(Class::Introduction, payer, 1, desk.now()) {
                        questions.add_command(charge);
                    }
                }
            }
            Errand::Resolve { name, .. } => {
                questions.add_command(self.record_of(name));
            }
            Errand::Deliver { to, .. } => {
                questions.add_command(self.seat_of(to));
            }
        }
    }

    fn settle(
        &self,
        errand: Errand,
        answer: Result<Vec<Value>, Away>,
        desk: &Desk,
        dispatches: &mut Pipeline,
    ) {
        let first = answer.as_ref().ok().and_then(|values| values.first());
        match errand {
            Errand::Arrived { key, client } => match answer {
                Ok(_) => self.replaced(key, first, dispatches),
                Err(Away) => self.late(key, client),
            },
            Errand::Say { client, key, address, attempt, say } => {
                let values = answer.unwrap_or_default();
                let missing = values.iter().filter_map(|value| budgets::missing(Some(value)).err()).max();
                match missing {
                    None => desk.live.hand(Input::Said { client, say: *say }, None),
                    Some(missing) => {
                        // Whose budget it was nobody needs to know: the longer wait is what counts.
                        let by = Payer::Key(&key).by();
                        let limited = desk.limits.limited(Class::Introduction, by, missing);
                        desk.live.limit(&key, attempt, limited.retry_after);
                        desk.refused(&Problem::TooMany(limited), Some(address), None);
                    }
                }
            }
            Errand::Resolve { pending, .. } => {
                let callee = first.and_then(|value| self.live(value, desk.now())).map(|record| record.key);
                desk.live.hand(Input::Resolved { pending, callee }, None);
            }
            Errand::Deliver { to, parcel } => match first.and_then(Seat::decode) {
                // It has come here meanwhile, or has left.
                Some(seat) if seat.instance == self.instance => {
                    desk.live.hand(Input::Delivered { to, parcel }, None);
                }
                Some(seat) => {
                    let dispatch = Dispatch::Parcel { to, parcel };
                    dispatches.add_command(self.push(seat.instance, &dispatch));
                }
                None if answer.is_err() => {
                    self.counters.dropped.inc();
                }
                None => {}
            },
        }
    }

    /// Tells the phone book whose seat was taken.
    pub(super) fn replaced(&self, key: PeerId, before: Option<&Value>, dispatches: &mut Pipeline) {
        if let Some(seat) = before.and_then(Seat::decode).filter(|seat| seat.instance != self.instance) {
            let moved = Dispatch::Moved { key, client: seat.client.0 };
            dispatches.add_command(self.push(seat.instance, &moved));
        }
    }

    /// Sends what is for other phone books, and counts what does not get there.
    pub(super) async fn dispatch(&self, dispatches: &Pipeline) {
        let count = dispatches.len() as u64;
        let taken = match self.wire.ask(dispatches).await {
            Ok(values) => values.iter().filter(|value| **value == Value::Int(1)).count() as u64,
            Err(Away) => 0,
        };
        self.counters.sent.inc_by(taken);
        self.counters.dropped.inc_by(count - taken);
    }

    fn late(&self, key: PeerId, client: ClientId) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.len() < LATE_MAX || late.contains_key(&key) {
            late.insert(key, client);
        }
    }
}
