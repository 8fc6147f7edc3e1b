//! Two phone books behind one name, as processes: a daemon at each, and they find each other as if there were one.

#[path = "../../../phonebook/tests/integration/common/redis_server.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod redis_server;

use fyteclub_tests::{
    Phonebook, Resident, Town, eventually,
    mods::{Mod, Written, arrived, assert_same},
};
use redis_server::Redis;

/// Alice at one, Bob at the other, with nothing but an invitation.
async fn apart(town: &Town, redis: &Redis) -> (Phonebook, Phonebook, Resident, Resident, Written) {
    let url = redis.url();
    let args = ["--redis", &url, "--redis-secret", "what only these two know"];
    let one = Phonebook::another_with(town, "one", &args).await;
    let other = Phonebook::another_with(town, "other", &args).await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(&[one.url()]);
    let mut bob = town.house("Bob Birch@Balmung").phonebooks(&[other.url()]);
    tokio::join!(alice.start(), bob.start());
    let look = Mod::of_noise(town.path("mod"), 1, 5, 100_000).write();
    alice.publish(&look.folder).await;
    (one, other, alice, bob, look)
}

#[tokio::test]
async fn look_travels_between_users_of_two_phone_books() {
    let Some(mut redis) = Redis::start() else { return };
    let town = Town::new().await;
    let (mut one, other, alice, mut bob, look) = apart(&town, &redis).await;
    // By name: the knock goes to the phone book that Alice is connected to.
    bob.client().contacts_add(&alice.player, None).await.expect("asked");
    eventually("alice is asked", async || (!alice.contacts().await.is_empty()).then_some(())).await;
    alice.client().contacts_accept(bob.player.clone()).await.expect("accepted");
    bob.is_paired_with(&alice).await;
    alice.is_paired_with(&bob).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);

    // Redis restarts empty; within a heartbeat everything is as before, also for a client that restarts.
    redis.kill();
    let degraded = async |book: &Phonebook| book.get("/api/health").await.0 == 503;
    eventually("both say so", async || (degraded(&one).await && degraded(&other).await).then_some(())).await;
    redis.start_again();
    eventually("both are well", async || (!degraded(&one).await && !degraded(&other).await).then_some(()))
        .await;
    bob.client().shutdown().await.expect("stopping");
    bob.process().ended().await;
    bob.start().await;
    bob.fetch(&alice.player).await;

    // One of the two is killed; its clients are found by the other's when it is back.
    one.kill();
    one.start().await;
    alice.is_introduced().await;
    bob.fetch(&alice.player).await;
}
