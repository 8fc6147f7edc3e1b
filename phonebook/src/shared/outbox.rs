//! The task that sends to Redis all that `signaling` needs, in order.
//!
//! Queued jobs share one round trip for their questions and one for their dispatches. Without Redis, messages are
//! charged to local budgets, and those for other phone books are dropped.

use super::{
    Shared, Unavailable,
    budgets::{self, Payer},
    job::Job,
    presence::Lease,
};
use crate::{
    app_state::AppState,
    clock::Moment,
    limits::{By, Class},
    problem::Problem,
    signaling::{ClientId, Input},
};
use fyteclub_proto::{id::PeerId, phonebook::between::Dispatch};
use redis::{Pipeline, Value};
use std::sync::PoisonError;

/// Jobs per round trip.
const AT_ONCE: usize = 128;
/// Most clients in `Shared::late`; further ones keep or lose their lease by chance.
const LATE_MAX: usize = 1 << 17;

/// Runs until dropped.
pub(super) async fn carry(app: &AppState, shared: &Shared) {
    let jobs = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut jobs) = jobs else { return };
    let outbox = Outbox { app, shared };
    let mut batch = Vec::with_capacity(AT_ONCE);
    while jobs.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut questions = Pipeline::with_capacity(AT_ONCE);
        for job in &batch {
            outbox.ask_for(job, &mut questions);
        }
        let answers = shared.connection.ask(&questions).await;
        let mut answers = answers.map(Vec::into_iter);
        let mut dispatches = Pipeline::new();
        for job in batch.drain(..) {
            let count = outbox.questions(&job);
            let answer = match &mut answers {
                Ok(values) => Ok(values.by_ref().take(count).collect::<Vec<_>>()),
                Err(Unavailable) => Err(Unavailable),
            };
            outbox.settle(job, answer, &mut dispatches);
        }
        shared.dispatch(&dispatches).await;
    }
}

struct Outbox<'a> {
    app: &'a AppState,
    shared: &'a Shared,
}

impl Outbox<'_> {
    /// The number of commands of a job.
    fn questions(&self, job: &Job) -> usize {
        match job {
            Job::Say { .. } => {
                let rates = &self.shared.rates;
                let of = |rate: Option<_>| usize::from(rate.is_some());
                of(rates.by_address(Class::Introduction)) + of(rates.by_key(Class::Introduction))
            }
            _ => 1,
        }
    }

    fn ask_for(&self, job: &Job, questions: &mut Pipeline) {
        let Self { app, shared } = self;
        match job {
            Job::Arrived { key, client, at } => {
                questions.add_command(shared.lease(key, *client, *at));
            }
            Job::Say { key, address, .. } => {
                for payer in [Payer::Address(*address), Payer::Key(key)] {
                    if let Some(charge) = shared.charge_command(Class::Introduction, payer, 1, app.now()) {
                        questions.add_command(charge);
                    }
                }
            }
            Job::Resolve { name, .. } => {
                questions.add_command(shared.record_of(name));
            }
            Job::Deliver { to, .. } => {
                questions.add_command(shared.lease_of(to));
            }
        }
    }

    fn settle(&self, job: Job, answer: Result<Vec<Value>, Unavailable>, dispatches: &mut Pipeline) {
        let Self { app, shared } = self;
        let first = answer.as_ref().ok().and_then(|values| values.first());
        match job {
            Job::Arrived { key, client, at } => match answer {
                Ok(_) if Shared::came_late(first) => app.live.hand(Input::Moved { key, client }, None),
                Ok(_) => shared.replaced(key, first, dispatches),
                Err(Unavailable) => self.greeted_late(key, client, at),
            },
            Job::Say { client, key, address, attempt, say } => {
                let values = answer.unwrap_or_default();
                let missing = values.iter().filter_map(|value| budgets::missing(Some(value)).err()).max();
                match missing {
                    None => app.live.hand(Input::Said { client, say: *say }, None),
                    Some(missing) => {
                        // The longer wait counts, whichever budget it is.
                        let limited = app.limits.limited(Class::Introduction, By::Key, missing);
                        app.live.limit(&key, attempt, limited.retry_after);
                        app.refused(&Problem::TooMany(limited), Some(address), None);
                    }
                }
            }
            Job::Resolve { pending, .. } => {
                let callee = first.and_then(|value| shared.live(value, app.now())).map(|record| record.key);
                app.live.hand(Input::Resolved { pending, callee }, None);
            }
            Job::Deliver { to, parcel, held } => match first.and_then(Lease::decode) {
                // The client came here or left in the meantime.
                Some(lease) if lease.instance == shared.instance => {
                    app.live.hand(Input::Delivered { to, parcel }, None);
                }
                Some(lease) => {
                    let dispatch = Dispatch::Parcel { to, parcel };
                    dispatches.add_command(shared.push(lease.instance, &dispatch));
                }
                None if answer.is_err() => {
                    shared.counters.dropped.inc();
                }
                None => shared.ask_later(to, parcel, held),
            },
        }
    }

    fn greeted_late(&self, key: PeerId, client: ClientId, at: Moment) {
        let mut late = self.shared.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.len() < LATE_MAX || late.contains_key(&key) {
            late.insert(key, (client, at));
        }
    }
}
