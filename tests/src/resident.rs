//! One player's daemon, driven through the client SDK.

use crate::{Machine, Process, eventually, hostile::Hostile, program, town::Folder, within};
use fyteclub_client::{
    Client, Contact, Error, Fault, Fetched, OptionChoice, PeerId, PlayerName, Published, Standing,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

pub struct Resident {
    pub player: PlayerName,
    data_dir: PathBuf,
    ipc: String,
    phonebooks: Vec<String>,
    listen: Option<String>,
    machine: Option<Machine>,
    config: String,
    env: Vec<(&'static str, String)>,
    process: Option<Process>,
    client: Option<Client>,
    log: PathBuf,
    _town: Arc<Folder>,
}

impl Resident {
    pub(crate) fn new(player: &str, town: Arc<Folder>, phonebook: &str) -> Self {
        let name = player.split(' ').next().unwrap_or(player).to_lowercase();
        let ipc = if cfg!(windows) {
            format!("{}-{name}", town.path().file_name().unwrap_or_default().to_string_lossy())
        } else {
            town.path().join(format!("{name}.sock")).to_string_lossy().into_owned()
        };
        Self {
            player: player.parse().expect("a player's name"),
            data_dir: town.path().join(&name),
            ipc,
            phonebooks: vec![phonebook.to_owned()],
            listen: Some("127.0.0.1:0".into()),
            machine: None,
            // Stories count transferred bytes, so prefetch is off by default.
            config: "heartbeat = 1\nprefetch_budget = 0\n".into(),
            env: Vec::new(),
            process: None,
            client: None,
            log: town.path().join(format!("{name}.stderr")),
            _town: town,
        }
    }

    /// A line for its `config.toml`, replacing the one with the same key.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        let others = self.config.lines().filter(|other| key(other) != key(line));
        self.config = others.flat_map(|line| [line, "\n"]).collect();
        self.config += line;
        self.config.push('\n');
        self
    }

    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl ToString) -> Self {
        self.env.push((name, value.to_string()));
        self
    }

    /// These phone books instead of the town's.
    #[must_use]
    pub fn phonebooks(mut self, urls: &[String]) -> Self {
        self.phonebooks = urls.to_vec();
        self
    }

    /// The `listen` setting; `None`: the default.
    #[must_use]
    pub fn listen(mut self, addr: Option<&str>) -> Self {
        self.listen = addr.map(str::to_owned);
        self
    }

    /// Runs on a machine of a `Lan`.
    #[must_use]
    pub fn on(mut self, machine: &Machine) -> Self {
        self.machine = Some(machine.clone());
        self
    }

    /// Asks routers for a port, by UPnP and by NAT-PMP and PCP.
    #[must_use]
    pub fn maps(mut self, upnp: bool, nat_pmp: bool) -> Self {
        self.env.retain(|(name, _)| !["FYTECLUB_UPNP", "FYTECLUB_NAT_PMP"].contains(name));
        self.env("FYTECLUB_UPNP", upnp).env("FYTECLUB_NAT_PMP", nat_pmp)
    }

    /// Looks for contacts in the local network.
    #[must_use]
    pub fn looks_around(self) -> Self {
        self.env("FYTECLUB_LAN", true)
    }

    #[must_use]
    pub fn data_dir(mut self, path: PathBuf) -> Self {
        self.data_dir = path;
        self
    }

    pub fn data(&self) -> &Path {
        &self.data_dir
    }

    pub fn ipc(&self) -> &str {
        &self.ipc
    }

    /// The command, as a person would start it.
    pub fn command(&self) -> Command {
        let fyteclubd = program("fyteclubd");
        let mut command = match &self.machine {
            Some(machine) => machine.command(&fyteclubd),
            None => Command::new(fyteclubd),
        };
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("run").arg("--data-dir").arg(&self.data_dir);
        command.args(["--player", self.player.as_str()]);
        command.args(self.phonebooks.iter().flat_map(|url| ["--phonebook", url]));
        command.args(self.listen.iter().flat_map(|addr| ["--listen", addr]));
        command.args(["--ipc", &self.ipc]);
        command.args(["--log", "info,fyteclub_daemon=debug,fyteclub_store=debug"]);
        command
    }

    /// Starts the daemon, also again, and waits until it is registered.
    pub async fn start(&mut self) {
        self.start_unfound().await;
        self.is_found().await;
    }

    /// Starts the daemon and waits until it serves.
    pub async fn start_unfound(&mut self) {
        fs::create_dir_all(&self.data_dir).expect("a data folder");
        fs::write(self.data_dir.join("config.toml"), &self.config).expect("a configuration");
        let mut process = Process::spawn(self.player.as_str(), self.command(), self.log.clone());
        process.says("ready").await;
        self.process = Some(process);
        self.client = Some(Client::connect(&self.ipc).await.expect("the daemon greets"));
    }

    /// Waits until the phone book has answered its registration.
    pub async fn is_found(&self) {
        let client = self.client();
        eventually(&format!("{} is in the phone book", self.player), async || {
            let status = client.status().await.expect("a status");
            status.phonebooks.iter().any(|book| book.ok).then_some(())
        })
        .await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.client = None;
        self.process = None;
    }

    /// # Panics It does not run.
    pub fn client(&self) -> &Client {
        self.client.as_ref().expect("the daemon runs")
    }

    /// # Panics It does not run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon runs")
    }

    /// # Panics It does not run.
    pub fn peer_id(&self) -> PeerId {
        self.client().daemon().peer_id
    }

    /// Each adds the other by key, without a message between them.
    pub async fn befriend(&self, other: &Self) {
        let (here, there) = (self.peer_id(), other.peer_id());
        self.client().contacts_add(&other.player, Some(&there)).await.expect("added");
        other.client().contacts_add(&self.player, Some(&here)).await.expect("added");
    }

    /// # Panics They cannot be listed.
    pub async fn contacts(&self) -> Vec<Contact> {
        self.client().contacts_list().await.expect("a list")
    }

    /// Waits until this daemon knows that both sides consent.
    pub async fn is_paired_with(&self, other: &Self) {
        eventually(&format!("{} and {} are contacts", self.player, other.player), async || {
            let contacts = self.contacts().await;
            let paired = |contact: &&Contact| contact.standing == Standing::Paired;
            contacts.iter().filter(paired).find(|contact| contact.player.as_ref() == Some(&other.player))?;
            Some(())
        })
        .await;
    }

    /// Waits until a phone book has this daemon's live connection.
    pub async fn is_introduced(&self) {
        let client = self.client();
        eventually(&format!("{} is in conversation with a phone book", self.player), async || {
            let status = client.status().await.expect("a status");
            status.phonebooks.iter().any(|book| book.live && book.ok).then_some(())
        })
        .await;
    }

    /// Waits until every phone book has this daemon's live connection.
    pub async fn is_introduced_by_all(&self) {
        let client = self.client();
        eventually(&format!("{} is in conversation with all phone books", self.player), async || {
            let status = client.status().await.expect("a status");
            status.phonebooks.iter().all(|book| book.live && book.ok).then_some(())
        })
        .await;
    }

    /// Adds a hostile peer as a contact.
    pub async fn takes_for_a_friend(&self, hostile: &Hostile) {
        let key = hostile.peer_id();
        self.client().contacts_add(&hostile.player, Some(&key)).await.expect("added");
    }

    pub async fn publish(&self, path: &Path) -> Published {
        self.publish_with(path, &[]).await
    }

    /// With selected options.
    ///
    /// # Panics It cannot be published.
    pub async fn publish_with(&self, path: &Path, options: &[(&str, &str)]) -> Published {
        let choice = |(group, option): &(&str, &str)| OptionChoice {
            group: (*group).into(),
            option: (*option).into(),
        };
        let options = options.iter().map(choice).collect();
        let published =
            within("a look is published", self.client().appearance_publish_mod(path, options)).await;
        published.unwrap_or_else(|error| panic!("{} cannot publish: {error}", self.player))
    }

    /// # Panics The fetch fails.
    pub async fn fetch(&self, player: &PlayerName) -> Fetched {
        let fetched = self.try_fetch(player, None).await;
        fetched.unwrap_or_else(|error| panic!("{} cannot fetch {player}: {error:?}", self.player))
    }

    /// # Panics The fetch fails.
    pub async fn fetch_to(&self, player: &PlayerName, out: &Path) -> Fetched {
        let fetched = self.try_fetch(player, Some(out)).await;
        fetched.unwrap_or_else(|error| panic!("{} cannot fetch {player}: {error:?}", self.player))
    }

    /// # Errors The daemon's.
    pub async fn try_fetch(&self, player: &PlayerName, out: Option<&Path>) -> Result<Fetched, Error> {
        within(&format!("{} fetches {player}", self.player), self.client().peer_fetch(player, out)).await
    }
}

/// The daemon's fault.
///
/// # Panics It succeeded, or failed otherwise.
pub fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> Fault {
    match result {
        Err(Error::Fault(fault)) => fault,
        other => panic!("a fault was due, not {other:?}"),
    }
}
