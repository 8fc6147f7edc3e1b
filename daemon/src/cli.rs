//! The command line of `fyteclubd`. The settings' meaning is in [`crate::config`].

use crate::config::{Config, ConfigError, Dir, Raw, Word, Words};
use clap::{Args, Parser, Subcommand};
use fyteclub_logging::speak;
use std::{env::VarError, path::PathBuf};

/// Shares your character's look with your friends, straight from your machine to theirs.
#[derive(Debug, Parser)]
#[command(name = "fyteclubd", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon; prints `ready` once it serves
    Run(Run),
    /// Read the configuration as `run` would, and print it, or what is wrong with it
    CheckConfig(Settings),
    /// Replace this player's key by a new one; phone books and contacts learn it at the next start
    ///
    /// For when another person may have the old key's file. The daemon must not run meanwhile.
    RotateKey(Settings),
}

/// Parses this process's arguments. A wrong one ends the process; what it says has no hidden characters.
pub fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| speak::refuse(error))
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub settings: Settings,
    /// Make a new key where the old one is missing; contacts must confirm it
    #[arg(long)]
    pub new_identity: bool,
}

#[derive(Debug, Args)]
pub struct Settings {
    /// Folder for the identity, the cache and the log
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// This daemon's player, exactly as in the game
    #[arg(long, value_name = "NAME@WORLD")]
    player: Option<String>,
    /// A phone book to register with and look names up in; may be given several times
    #[arg(long = "phonebook", value_name = "URL")]
    phonebooks: Vec<String>,
    /// UDP address to listen on for peers
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// Local socket for clients: a path, on Windows a pipe's name
    #[arg(long, value_name = "NAME_OR_PATH")]
    ipc: Option<String>,
    /// Configuration file, instead of config.toml in the data folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Whether to look for contacts in the local network: true or false
    #[arg(long, value_name = "BOOL")]
    lan: Option<String>,

    /// When to compress sent files: auto, always or never
    #[arg(long, value_name = "WHEN")]
    compression: Option<String>,
    /// Stop when standard input closes: for a parent process that must not leave this one running
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
    /// Log level (error, warn, info, debug, trace) or a filter
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl Settings {
    /// # Errors
    /// The first error in any layer.
    pub fn load(self) -> Result<Config, ConfigError> {
        let flags = Raw {
            data_dir: self.data_dir.map(Dir),
            player: self.player.map(Word),
            phonebooks: Some(self.phonebooks).filter(|books| !books.is_empty()).map(Words),
            listen: self.listen.map(Word),
            ipc: self.ipc.map(Word),
            compression: self.compression.map(Word),
            lan: self.lan.map(Word),
            log: self.log.map(Word),
            ..Raw::default()
        };
        // A variable that counts but cannot be read is an error.
        let unreadable = std::cell::RefCell::new(None);
        let config = Config::load(flags, self.config.as_deref(), |key| match std::env::var(key) {
            Ok(value) => Some(value),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(_)) => {
                unreadable.borrow_mut().get_or_insert_with(|| key.to_owned());
                None
            }
        });
        match unreadable.into_inner() {
            Some(key) => Err(ConfigError::NotUnicode { key }),
            None => config,
        }
    }
}
