//! One task that carries everything the signaling needs of Redis, in the order in which it was asked for.
//!
//! What waits is asked together: one round trip for all questions, one for all dispatches that follow. When Redis is
//! gone, what is said here is charged by the own budgets alone, and what would leave the house is dropped.

use super::{Errand, Payer, Shared, budgets, presence::Seat, wire::Away};
use crate::{
    app_state::AppState,
    limits::Class,
    problem::Problem,
    signaling::{ClientId, Input},
};
use fyteclub_proto::{id::PeerId, phonebook::between::Dispatch};
use redis::{Pipeline, Value};
use std::sync::PoisonError;

/// Errands of one round trip.
const AT_ONCE: usize = 128;
/// Clients that are remembered to have greeted while Redis was gone. Others win or lose by chance.
const LATE_MAX: usize = 1 << 17;

/// Runs until dropped.
pub(super) async fn carry(app: &AppState, shared: &Shared) {
    let errands = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut errands) = errands else { return };
    let courier = Courier { app, shared };
    let mut batch = Vec::with_capacity(AT_ONCE);
    while errands.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut questions = Pipeline::with_capacity(AT_ONCE);
        for errand in &batch {
            courier.ask_for(errand, &mut questions);
        }
        let answers = shared.wire.ask(&questions).await;
        let mut answers = answers.map(Vec::into_iter);
        let mut dispatches = Pipeline::new();
        for errand in batch.drain(..) {
            let count = courier.questions(&errand);
            let answer = match &mut answers {
                Ok(values) => Ok(values.by_ref().take(count).collect::<Vec<_>>()),
                Err(Away) => Err(Away),
            };
            courier.settle(errand, answer, &mut dispatches);
        }
        shared.dispatch(&dispatches).await;
    }
}

struct Courier<'a> {
    app: &'a AppState,
    shared: &'a Shared,
}

impl Courier<'_> {
    /// How many questions an errand has.
    fn questions(&self, errand: &Errand) -> usize {
        match errand {
            Errand::Say { .. } => {
                let rates = &self.shared.rates;
                let of = |rate: Option<_>| usize::from(rate.is_some());
                of(rates.by_address(Class::Introduction)) + of(rates.by_key(Class::Introduction))
            }
            _ => 1,
        }
    }

    fn ask_for(&self, errand: &Errand, questions: &mut Pipeline) {
        let Self { app, shared } = self;
        match errand {
            Errand::Arrived { key, client } => {
                questions.add_command(shared.seat(key, *client));
            }
            Errand::Say { key, address, .. } => {
                for payer in [Payer::Address(*address), Payer::Key(key)] {
                    if let Some(charge) = shared.charge_command(Class::Introduction, payer, 1, app.now()) {
                        questions.add_command(charge);
                    }
                }
            }
            Errand::Resolve { name, .. } => {
                questions.add_command(shared.record_of(name));
            }
            Errand::Deliver { to, .. } => {
                questions.add_command(shared.seat_of(to));
            }
        }
    }

    fn settle(&self, errand: Errand, answer: Result<Vec<Value>, Away>, dispatches: &mut Pipeline) {
        let Self { app, shared } = self;
        let first = answer.as_ref().ok().and_then(|values| values.first());
        match errand {
            Errand::Arrived { key, client } => match answer {
                Ok(_) => shared.replaced(key, first, dispatches),
                Err(Away) => self.greeted_late(key, client),
            },
            Errand::Say { client, key, address, attempt, say } => {
                let values = answer.unwrap_or_default();
                let missing = values.iter().filter_map(|value| budgets::missing(Some(value)).err()).max();
                match missing {
                    None => app.live.hand(Input::Said { client, say: *say }, None),
                    Some(missing) => {
                        // Whose budget it was nobody needs to know: the longer wait is what counts.
                        let by = Payer::Key(&key).by();
                        let limited = app.limits.limited(Class::Introduction, by, missing);
                        app.live.limit(&key, attempt, limited.retry_after);
                        app.refused(&Problem::TooMany(limited), Some(address), None);
                    }
                }
            }
            Errand::Resolve { pending, .. } => {
                let callee = first.and_then(|value| shared.live(value, app.now())).map(|record| record.key);
                app.live.hand(Input::Resolved { pending, callee }, None);
            }
            Errand::Deliver { to, parcel } => match first.and_then(Seat::decode) {
                // It has come here meanwhile, or has left.
                Some(seat) if seat.instance == shared.instance => {
                    app.live.hand(Input::Delivered { to, parcel }, None);
                }
                Some(seat) => {
                    let dispatch = Dispatch::Parcel { to, parcel };
                    dispatches.add_command(shared.push(seat.instance, &dispatch));
                }
                None if answer.is_err() => {
                    shared.counters.dropped.inc();
                }
                None => {}
            },
        }
    }

    fn greeted_late(&self, key: PeerId, client: ClientId) {
        let mut late = self.shared.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.len() < LATE_MAX || late.contains_key(&key) {
            late.insert(key, client);
        }
    }
}
