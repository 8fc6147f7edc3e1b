//! The town: a phone book, a folder, and daemons.

use crate::{Machine, Process, Resident, program, turn::Turn};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tempfile::TempDir;

pub struct Town {
    folder: Arc<Folder>,
    pub phonebook: Phonebook,
}

/// The town's folder and its story's turn, held for as long as any of its processes.
pub(crate) struct Folder {
    folder: TempDir,
    _turn: Turn,
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Town {
    /// With a phone book that answers. A second town in one story may deadlock.
    pub async fn new() -> Self {
        Self::open(Turn::shared().await).await
    }

    /// The same, while no other story runs: for one that loads the machine or compares times.
    pub async fn alone() -> Self {
        Self::open(Turn::alone().await).await
    }

    async fn open(turn: Turn) -> Self {
        let folder = TempDir::with_prefix("fyteclub-").expect("a folder");
        let folder = Arc::new(Folder { folder, _turn: turn });
        let phonebook = Phonebook::open(folder.clone()).await;
        Self { folder, phonebook }
    }

    /// A subfolder, created on first use.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// A path in the town's folder that does not exist.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A daemon that is not started.
    pub fn house(&self, player: &str) -> Resident {
        Resident::new(player, self.folder.clone(), &self.phonebook.url())
    }

    /// A daemon that runs and is registered.
    pub async fn resident(&self, player: &str) -> Resident {
        let mut resident = self.house(player);
        resident.start().await;
        resident
    }
}

/// A real phone book, which can be stopped and restarted.
pub struct Phonebook {
    process: Option<Process>,
    addr: String,
    args: Vec<String>,
    machine: Option<Machine>,
    log: PathBuf,
    _folder: Arc<Folder>,
}

impl Phonebook {
    async fn open(folder: Arc<Folder>) -> Self {
        Self::open_as(folder, "phonebook", "127.0.0.1:0", &[]).await
    }

    /// One more in the same town.
    pub async fn another(town: &Town, name: &str) -> Self {
        Self::another_with(town, name, &[]).await
    }

    /// The same, with more arguments.
    pub async fn another_with(town: &Town, name: &str, args: &[&str]) -> Self {
        Self::open_as(town.folder.clone(), name, "127.0.0.1:0", args).await
    }

    /// One more at this address, with this name in `names`.
    pub async fn another_named(town: &Town, name: &str, addr: &str) -> Self {
        Self::open_as(town.folder.clone(), name, addr, &["--names", addr]).await
    }

    async fn open_as(folder: Arc<Folder>, name: &str, addr: &str, args: &[&str]) -> Self {
        let log = folder.path().join(format!("{name}.stderr"));
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (addr, machine) = (addr.to_owned(), None);
        let mut phonebook = Self { process: None, addr, args, machine, log, _folder: folder };
        phonebook.start().await;
        phonebook
    }

    /// One more at this address, reachable by others; on a machine of a `Lan` if given.
    pub async fn another_at(town: &Town, name: &str, addr: &str, machine: Option<&Machine>) -> Self {
        Self::another_at_with(town, name, addr, machine, &[]).await
    }

    /// The same, with more arguments.
    pub async fn another_at_with(
        town: &Town,
        name: &str,
        addr: &str,
        machine: Option<&Machine>,
        args: &[&str],
    ) -> Self {
        let log = town.folder.path().join(format!("{name}.stderr"));
        let args = ["--plain-http"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        let machine = machine.cloned();
        let mut phonebook =
            Self { process: None, addr: addr.to_owned(), args, machine, log, _folder: town.folder.clone() };
        phonebook.start().await;
        phonebook
    }

    /// On the same port as before.
    pub async fn start(&mut self) {
        let phonebook = program("fyteclub-phonebook");
        let mut command = match &self.machine {
            Some(machine) => machine.command(&phonebook),
            None => Command::new(phonebook),
        };
        command.args(["--listen", &self.addr, "--operator", "off"]).args(&self.args);
        let mut process = Process::spawn("the phone book", command, self.log.clone());
        self.addr = process.says("listening on http://").await;
        self.process = Some(process);
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// # Panics It does not run.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the phone book runs")
    }

    /// `IP:PORT`.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Waits for its exit.
    pub async fn gone(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.ended().await;
        }
    }

    /// Status and body of its answer.
    ///
    /// # Panics It does not answer.
    pub async fn get(&self, path: &str) -> (u16, String) {
        // A second installation does nothing.
        rustls::crypto::ring::default_provider().install_default().ok();
        let answer = reqwest::get(format!("{}{path}", self.url())).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }
}
