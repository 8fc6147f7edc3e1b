//! The town: a phone book, a folder for everything, and where residents move in.

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

/// The town's folder and its story's turn, which last as long as any of its processes.
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
    /// With a phone book that answers. A second town in one story may wait for ever.
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

    /// A folder of the town's own, made when it is first asked for.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// A path in the town's folder, where nothing is yet.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A resident who has not moved in yet.
    pub fn house(&self, player: &str) -> Resident {
        Resident::new(player, self.folder.clone(), &self.phonebook.url())
    }

    /// A resident who is there and whom the phone book knows.
    pub async fn resident(&self, player: &str) -> Resident {
        let mut resident = self.house(player);
        resident.start().await;
        resident
    }
}

/// A real phone book, which can be taken away and brought back.
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

    /// The same, with more on its command line.
    pub async fn another_with(town: &Town, name: &str, args: &[&str]) -> Self {
        Self::open_as(town.folder.clone(), name, "127.0.0.1:0", args).await
    }

    /// One more at this address, which knows that it is called so.
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

    /// One more in the same town, at this address, which others may reach; on a machine of its own if there is one.
    pub async fn another_at(town: &Town, name: &str, addr: &str, machine: Option<&Machine>) -> Self {
        let log = town.folder.path().join(format!("{name}.stderr"));
        let (args, machine) = (vec!["--plain-http".to_owned()], machine.cloned());
        let mut phonebook =
            Self { process: None, addr: addr.to_owned(), args, machine, log, _folder: town.folder.clone() };
        phonebook.start().await;
        phonebook
    }

    /// On the same port as before, once it had one.
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

    /// # Panics
    /// While it is not there.
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

    /// Waits for its end by itself.
    pub async fn gone(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.ended().await;
        }
    }

    /// Status and body of what it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn get(&self, path: &str) -> (u16, String) {
        // A second installation changes nothing.
        rustls::crypto::ring::default_provider().install_default().ok();
        let answer = reqwest::get(format!("{}{path}", self.url())).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }
}
