//! A player in a home of the laboratory.

use fyteclub_client::{Error, MappingState, PathKind};
use fyteclub_tests::{
    Phonebook, Resident, Town, eventually,
    mods::{Content, Mod, Written, arrived, assert_same},
    netlab::{Home, Internet, Kind, SERVERS},
};
use std::time::{Duration, Instant};

/// From a fetch until the path is the best one: a failed round of hole punching is followed by 30 s of silence.
pub(super) const SETTLES: Duration = Duration::from_secs(75);

pub(super) struct Player {
    pub(super) kind: Kind,
    pub(super) resident: Resident,
    look: Option<Written>,
}

/// In the words of `peers --json`.
fn word(path: Option<PathKind>) -> String {
    let value = serde_json::to_value(path).unwrap_or_default();
    value.as_str().unwrap_or("none").to_owned()
}

impl Player {
    /// With nothing but the phone books' URLs. `role` is a part of the name.
    pub(super) fn new(town: &Town, urls: &[String], home: &Home, role: &str) -> Self {
        // Of each word of the kind, what keeps names short and apart.
        let mut left = 0;
        let short = |letter: &char| {
            left = if letter.is_uppercase() { 4 } else { left };
            left -= i32::from(left > 0);
            left > 0 && !letter.is_ascii_digit()
        };
        let kind: String = format!("{:?}", home.kind).chars().filter(short).collect();
        let forename = format!("{}{role}", kind.to_lowercase());
        let (first, rest) = forename.split_at(1);
        let player = format!("{}{rest} Home@Gilgamesh", first.to_uppercase());
        let maps = home.kind == Kind::Mapped;
        let house = town.house(&player).phonebooks(urls).listen(None).on(home.host());
        let resident = house.config("heartbeat = 45").maps(maps, maps);
        Self { kind: home.kind, resident, look: None }
    }

    /// Starts the daemon, and waits until it can be introduced.
    pub(super) async fn start(&mut self) {
        self.resident.start().await;
        self.resident.is_introduced().await;
        if self.kind == Kind::Mapped {
            eventually("the router maps the port", async || {
                let status = self.resident.client().status().await.expect("a status");
                (status.mapping.state == MappingState::Mapped).then_some(())
            })
            .await;
        }
    }

    pub(super) async fn publishes(&mut self, town: &Town) {
        self.publishes_files(town, 2, 20_000).await;
    }

    /// A look of its own, of so many files of so many bytes.
    pub(super) async fn publishes_files(&mut self, town: &Town, files: usize, bytes: usize) {
        let folder = town.path(&format!("{bytes} bytes of {}", self.resident.player));
        let look =
            Mod::of_noise(folder, self.resident.player.as_str().bytes().map(u64::from).sum(), files, bytes)
                .write();
        self.resident.publish(&look.folder).await;
        self.look = Some(look);
    }

    /// Fetches the look; the path that brought it.
    ///
    /// # Errors The daemon's.
    pub(super) async fn fetches(&self, owner: &Self) -> Result<String, Error> {
        let fetched = self.resident.try_fetch(&owner.resident.player, None).await?;
        assert_same(&arrived(&fetched), owner.content());
        Ok(word(fetched.path))
    }

    /// Of the published look.
    pub(super) fn content(&self) -> &Content {
        &self.look.as_ref().expect("a look").content
    }

    pub(super) async fn path_to(&self, peer: &Self) -> String {
        let key = peer.resident.peer_id();
        let peers = self.resident.client().peer_list().await.expect("peers");
        word(peers.iter().find(|known| known.peer_id == key).and_then(|known| known.path))
    }

    /// Waits until the path is one of these; what it is at the end.
    pub(super) async fn comes_to(&self, peer: &Self, words: &[&str], deadline: Instant) -> String {
        loop {
            let path = self.path_to(peer).await;
            if words.contains(&path.as_str()) || Instant::now() >= deadline {
                return path;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An owner with a look and one who fetches it, each in a home of a kind, and their phone book.
pub(super) struct Pair {
    pub(super) owner: Player,
    pub(super) other: Player,
    pub(super) book: Phonebook,
    pub(super) internet: Internet,
    pub(super) town: Town,
}

impl Pair {
    /// They are contacts, and the owner has not published. `None` with a message where there is no laboratory.
    pub(super) async fn open(kinds: [Kind; 2]) -> Option<Self> {
        let town = Town::new().await;
        let internet = Internet::open(&town, &kinds).await?;
        Some(Self::live_in(town, internet).await)
    }

    /// In the first two homes of this internet.
    pub(super) async fn live_in(town: Town, internet: Internet) -> Self {
        let at = format!("{}:80", SERVERS[0]);
        let book = Phonebook::another_at(&town, "internet", &at, Some(internet.machine())).await;
        let urls = [book.url()];
        Self::meet_at(town, internet, book, &urls).await
    }

    /// The same, with phone books at these URLs.
    pub(super) async fn meet_at(town: Town, internet: Internet, book: Phonebook, urls: &[String]) -> Self {
        let (here, there) = (&internet.homes()[0], &internet.homes()[1]);
        let mut owner = Player::new(&town, urls, here, "owner");
        let mut other = Player::new(&town, urls, there, "other");
        tokio::join!(owner.start(), other.start());
        owner.resident.befriend(&other.resident).await;
        Self { owner, other, book, internet, town }
    }

    /// Waits until both ends of the link use one of these.
    ///
    /// # Panics They do not.
    pub(super) async fn comes_to(&self, words: &[&str]) {
        let deadline = Instant::now() + SETTLES;
        for (one, peer) in [(&self.owner, &self.other), (&self.other, &self.owner)] {
            let path = one.comes_to(peer, words, deadline).await;
            assert!(words.contains(&path.as_str()), "{path} at {}", one.resident.player);
        }
    }
}
