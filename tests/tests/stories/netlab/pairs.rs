//! Players behind routers of every kind fetch each other's looks: directly where the table says so, relayed elsewhere.
//!
//! One home of each kind has a look, and another of each kind fetches. `FYTECLUB_NETLAB_PAIRS` names other pairs than the
//! usual ones, as in `Symmetric-Cgnat,Public-Blocked` (the owner first), or all of both orders by `all`;
//! `FYTECLUB_NETLAB_ROUNDS` is how often, each time in a new laboratory.

use super::player::{Pair, Player, SETTLES};
use futures::{StreamExt, future::join_all, stream};
use fyteclub_tests::{
    Phonebook, Town,
    netlab::{Internet, Kind, SERVERS, is_direct},
};
use std::time::{Duration, Instant};

/// Fetches at once: as many as leave two cores time to answer.
const AT_ONCE: usize = 8;

/// Words for the path in use at the end of `here`; any of these is right.
fn expected(here: Kind, there: Kind) -> &'static [&'static str] {
    match (is_direct(here, there), here) {
        (true, _) => &["direct", "punched", "mapped"],
        (false, Kind::Blocked) => &["relay-tcp"],
        (false, _) => &["relay"],
    }
}

/// The owner's and the fetcher's kinds.
fn pairs() -> Vec<(Kind, Kind)> {
    let all = || Kind::ALL.iter().flat_map(|owner| Kind::ALL.iter().map(|other| (*owner, *other)));
    match std::env::var("FYTECLUB_NETLAB_PAIRS").ok().as_deref() {
        None => {
            let at = |kind| Kind::ALL.iter().position(|known| *known == kind);
            all().filter(|(owner, other)| at(*owner) <= at(*other)).collect()
        }
        Some("all") => all().collect(),
        Some(names) => {
            let named = |(owner, other): &(Kind, Kind)| {
                names.split(',').any(|name| name == format!("{owner:?}-{other:?}"))
            };
            all().filter(named).collect()
        }
    }
}

/// How one pair ended.
struct End {
    kinds: (Kind, Kind),
    /// Why it has no look.
    fault: Option<String>,
    fetched: Duration,
    settled: Duration,
    /// Of the fetch, then at the owner and at the fetcher.
    paths: [String; 3],
}

impl End {
    fn is_right(&self) -> bool {
        let (owner, other) = self.kinds;
        self.fault.is_none()
            && expected(owner, other).contains(&self.paths[1].as_str())
            && expected(other, owner).contains(&self.paths[2].as_str())
            && (is_direct(owner, other) || self.paths[0].starts_with("relay"))
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (owner, other) = self.kinds;
        let [fetch, there, here] = &self.paths;
        let mark = if self.is_right() { "" } else { "  WRONG" };
        let pair = format!("{owner:?}-{other:?}");
        let (fetched, settled) = (self.fetched.as_secs_f64(), self.settled.as_secs_f64());
        write!(f, "{pair:<36}{fetch:<10}{fetched:>6.2} s   {there:<10}{here:<10}{settled:>6.2} s{mark}")?;
        self.fault.iter().try_for_each(|fault| write!(f, "  {fault}"))
    }
}

async fn meet(owner: &Player, other: &Player) -> End {
    let kinds = (owner.kind, other.kind);
    let began = Instant::now();
    let (path, fault) = match other.fetches(owner).await {
        Ok(path) => (path, None),
        Err(error) => (String::new(), Some(format!("{error}"))),
    };
    let fetched = began.elapsed();
    let deadline = Instant::now() + if fault.is_none() { SETTLES } else { Duration::ZERO };
    let (there, here) = tokio::join!(
        owner.comes_to(other, expected(kinds.0, kinds.1), deadline),
        other.comes_to(owner, expected(kinds.1, kinds.0), deadline),
    );
    let end = End { kinds, fault, fetched, settled: began.elapsed(), paths: [path, there, here] };
    println!("{end}");
    end
}

#[tokio::test]
async fn every_pair_ends_as_the_table_says() {
    let rounds = std::env::var("FYTECLUB_NETLAB_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for _ in 0..rounds.unwrap_or(1) {
        end_as_the_table_says(pairs()).await;
    }
}

/// In a laboratory of their own.
async fn end_as_the_table_says(pairs: Vec<(Kind, Kind)>) {
    let town = Town::alone().await;
    let wanted = |side: fn(&(Kind, Kind)) -> Kind| {
        Kind::ALL.into_iter().filter(|kind| pairs.iter().any(|pair| side(pair) == *kind)).collect::<Vec<_>>()
    };
    let (owners, others) = (wanted(|pair| pair.0), wanted(|pair| pair.1));
    let kinds = [&owners[..], &others].concat();
    let Some(internet) = Internet::open(&town, &kinds).await else { return };
    let at = format!("{}:80", SERVERS[0]);
    let book = Phonebook::another_at(&town, "internet", &at, Some(internet.machine())).await;
    let (urls, homes) = ([book.url()], internet.homes().iter().enumerate());
    let mut players: Vec<Player> = homes
        .map(|(n, home)| Player::new(&town, &urls, home, if n < owners.len() { "owner" } else { "other" }))
        .collect();
    join_all(players.iter_mut().map(Player::start)).await;
    for owner in &mut players[..owners.len()] {
        owner.publishes(&town).await;
    }
    let find =
        |players: &[Player], kind| players.iter().position(|player| player.kind == kind).expect("a home");
    let (has, wants) = players.split_at(owners.len());
    let pairs: Vec<(&Player, &Player)> =
        pairs.iter().map(|(owner, other)| (&has[find(has, *owner)], &wants[find(wants, *other)])).collect();
    for (owner, other) in &pairs {
        owner.resident.befriend(&other.resident).await;
    }
    let ends: Vec<End> = stream::iter(&pairs)
        .map(|(owner, other)| meet(owner, other))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let wrong: Vec<String> = ends.iter().filter(|end| !end.is_right()).map(End::to_string).collect();
    assert!(wrong.is_empty(), "{} of {} pairs:\n{}", wrong.len(), ends.len(), wrong.join("\n"));
    // And they stay so.
    for (owner, other) in pairs {
        for (one, peer) in [(owner, other), (other, owner)] {
            let path = one.path_to(peer).await;
            assert!(
                expected(one.kind, peer.kind).contains(&path.as_str()),
                "{:?} {:?}: {path}",
                one.kind,
                peer.kind
            );
        }
    }
}

/// They have one outside address and one inside address, at which each finds itself.
#[tokio::test]
async fn neighbours_behind_one_carrier_use_the_relay() {
    let town = Town::new().await;
    let Some(internet) = Internet::open_behind_one_carrier(&town, 2).await else { return };
    let mut pair = Pair::live_in(town, internet).await;
    pair.owner.publishes(&pair.town).await;
    assert_eq!(pair.other.fetches(&pair.owner).await.expect("a look"), "relay");
    pair.comes_to(&["relay"]).await;
}
