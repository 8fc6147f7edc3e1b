//! Keeps the connection to Redis: reconnects, checks it, renews leases, and reads the inbox. Recovers by itself,
//! whether Redis comes back empty or not.

use super::{Shared, connection::Connection, outbox, presence};
use crate::{
    app_state::AppState,
    clock::Moment,
    health::Degradation,
    signaling::{ClientId, Input},
};
use fyteclub_proto::{id::PeerId, phonebook::between::Dispatch};
use redis::{Pipeline, Value};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the connection is checked.
const BEAT: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(500);
/// Names are counted every so many beats.
const COUNT: u64 = 5;

/// Runs until dropped; returns at once without a Redis.
pub(crate) async fn supervise(app: Arc<AppState>) {
    let Some(shared) = app.shared() else { return };
    tokio::join!(outbox::carry(&app, &shared), keep(&app, &shared), read(&app, &shared),);
}

async fn keep(app: &AppState, shared: &Shared) {
    loop {
        let mut told = false;
        while let Err(error) = shared.connection.connect(|| app.now()).await {
            app.health.set(Degradation::RedisGone, true);
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "Redis cannot be reached; retrying");
            }
            sleep(RETRY).await;
        }
        shared.counters.up.set(1);
        app.health.set(Degradation::RedisGone, false);
        tracing::info!("Redis answers");
        tokio::select! {
            () = shared.connection.broken() => {}
            () = work(app, shared) => {}
        }
        shared.counters.up.set(0);
        app.health.set(Degradation::RedisGone, true);
    }
}

/// Runs while the connection lasts.
async fn work(app: &AppState, shared: &Shared) {
    arrive_late(app, shared).await;
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = Instant::now();
    let mut born = shared.connection.born();
    for number in 0.. {
        beats.tick().await;
        if shared.connection.beat(|| app.now()).await.is_err() {
            return;
        }
        // An emptied Redis lost all leases.
        if born != shared.connection.born() || due <= Instant::now() {
            born = shared.connection.born();
            due = Instant::now() + presence::RENEWAL;
            renew(app, shared).await;
        }
        if number % COUNT == 0 {
            count(shared, app.now()).await;
        }
        app.health.set(Degradation::BookFull, shared.is_full());
    }
}

async fn renew(app: &AppState, shared: &Shared) {
    for clients in app.live.clients().chunks(presence::AT_ONCE) {
        let Ok(elsewhere) = shared.renew(clients).await else { return };
        for (key, client) in elsewhere {
            app.live.hand(Input::Moved { key, client }, None);
        }
    }
}

/// Reads the inbox over its own connection.
async fn read(app: &AppState, shared: &Shared) {
    let inbox = shared.own_inbox();
    loop {
        let error = match shared.connection.inbox().await {
            Err(error) => error,
            Ok(mut connection) => loop {
                match Connection::next(&mut connection, &inbox).await {
                    Err(error) => break error,
                    Ok(entries) => entries.iter().for_each(|entry| hear(app, shared, entry)),
                }
            },
        };
        if shared.connection.is_up() {
            tracing::warn!(%error, "the inbox at Redis cannot be read; Redis 7 is needed");
        }
        sleep(RETRY).await;
    }
}

fn hear(app: &AppState, shared: &Shared, entry: &Value) {
    let Value::BulkString(bytes) = entry else { return };
    match Dispatch::decode(bytes) {
        Ok(Dispatch::Parcel { to, parcel }) => {
            shared.counters.received.inc();
            app.live.hand(Input::Delivered { to, parcel }, None);
        }
        Ok(Dispatch::Moved { key, client }) => {
            app.live.hand(Input::Moved { key, client: ClientId(client) }, None);
        }
        Err(error) => {
            shared.counters.dropped.inc();
            tracing::debug!(%error, "dropped a malformed entry of the inbox");
        }
    }
}

/// Clients that greeted while Redis was down, and are still here, take their lease.
async fn arrive_late(app: &AppState, shared: &Shared) {
    let late = std::mem::take(&mut *shared.late.lock().unwrap_or_else(PoisonError::into_inner));
    let here = app.live.clients().into_iter().filter_map(|(key, client)| {
        let (_, at) = late.get(&key).filter(|(of, _)| *of == client)?;
        Some((key, client, *at))
    });
    let late: Vec<(PeerId, ClientId, Moment)> = here.collect();
    for clients in late.chunks(presence::AT_ONCE) {
        let mut leases = Pipeline::with_capacity(clients.len());
        for (key, client, at) in clients {
            leases.add_command(shared.lease(key, *client, *at));
        }
        let Ok(before) = shared.connection.ask(&leases).await else { return };
        let mut dispatches = Pipeline::new();
        for (value, &(key, client, _)) in before.iter().zip(clients) {
            if Shared::came_late(Some(value)) {
                app.live.hand(Input::Moved { key, client }, None);
            } else {
                shared.replaced(key, Some(value), &mut dispatches);
            }
        }
        shared.dispatch(&dispatches).await;
    }
}

async fn count(shared: &Shared, now: Moment) {
    let time = shared.connection.time(now);
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.add_command(shared.cardinality.total(time)).add_command(shared.cardinality.forget(time));
    if let Ok(values) = shared.connection.ask(&pipeline).await
        && let Some(Value::Int(count)) = values.first()
    {
        shared.cardinality.read(*count);
    }
}
