//! The command line. Commands and flags are a contract and stay. `cmd` carries them out.

use crate::exit;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fyteclub_client::{
    Distance, LimitsSet, NearPlayer, OptionChoice, PeerId, PlayerName, Rate, RelayUse, Who, escaped,
};
use std::{net::SocketAddr, path::PathBuf};

/// Talks to the FyteClub daemon on this machine.
#[derive(Debug, Parser)]
#[command(name = "fyteclubctl", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// The daemon's socket: a path, on Windows a pipe's name
    #[arg(
        long,
        global = true,
        value_name = "NAME_OR_PATH",
        env = "FYTECLUB_IPC",
        hide_env_values = true,
        display_order = 100
    )]
    pub ipc: Option<String>,

    /// Print JSON for programs instead of text for people
    #[arg(long, global = true, display_order = 101)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the daemon's state: identity, phone books, peers, transfers, cache
    Status,
    /// Explain why players are not reached, or one player, and what helps
    Doctor {
        /// A player by whole name or key; without one it is about this machine
        #[arg(value_name = "NAME@WORLD|KEY", value_parser = who)]
        who: Option<Who>,
        /// Write a text for somebody who helps to this new file: state, settings, findings, and the log's last lines,
        /// without names, keys, whole addresses and secrets
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Publish a mod as this player's look: a Penumbra mod folder or a .pmp file
    Publish {
        /// The folder with meta.json, or the .pmp
        path: PathBuf,
        /// Choose an option of a group; may be given more than once. Other groups keep their defaults
        #[arg(long = "option", value_name = "GROUP=OPTION", value_parser = option_choice)]
        options: Vec<OptionChoice>,
    },
    /// Stop publishing a look
    Unpublish,
    /// Fetch a player's look, and wait until it is complete and verified
    Fetch {
        /// The player's whole name, as in "Alice Ashe@Gilgamesh"
        #[arg(value_name = "NAME@WORLD")]
        player: PlayerName,
        /// Also write it to this folder, as a mod that Penumbra loads
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Show running transfers: how fast, how long and why; and which fetches wait for a turn
    Transfers,
    /// End a running fetch; verified chunks are kept
    Cancel {
        /// The player's whole name, as in "Alice Ashe@Gilgamesh"
        #[arg(value_name = "NAME@WORLD")]
        player: PlayerName,
    },
    /// Make the path to a contact anew, with fresh outside addresses; transfers go on
    Reconnect {
        /// The player's whole name, as in "Alice Ashe@Gilgamesh"
        #[arg(value_name = "NAME@WORLD")]
        player: PlayerName,
    },
    /// Leave the path to a contact for the next best one, as for the relay, until the next search for paths
    Failover {
        /// The player's whole name, as in "Alice Ashe@Gilgamesh"
        #[arg(value_name = "NAME@WORLD")]
        player: PlayerName,
    },
    /// Set or show which players are near: their looks are fetched without asking, the nearest first
    Nearby {
        #[command(subcommand)]
        command: NearbyCommand,
    },
    /// Show or change the limits of speed
    Limits {
        #[command(subcommand)]
        command: LimitsCommand,
    },
    /// Manage contacts: the players who may see this player's look, and whose look this player may see
    Contacts {
        #[command(subcommand)]
        command: ContactsCommand,
    },
    /// List the players that the daemon has or had links with
    Peers {
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    /// Dial a contact at an address, by hand: where no phone book and no local network finds them
    Connect {
        /// Their address and port, as they tell you: `fyteclubctl status` there shows the port
        #[arg(value_name = "IP:PORT")]
        address: SocketAddr,
        /// Their key, as `contacts list` shows it
        #[arg(long, value_name = "KEY")]
        key: PeerId,
    },
    /// Inspect and maintain the files on disk
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Print events until the daemon stops
    Watch,
    /// Have the daemon's log tell details, with names and addresses, until `off` or its end
    Debug {
        #[arg(value_name = "on|off")]
        detail: OnOff,
    },
    /// Print the daemon's counters, in Prometheus' text format
    Metrics,
    /// Stop the daemon
    Shutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NearbyCommand {
    /// Replace the set of near players
    Set {
        /// Whole names, optionally with a distance, as in "Alice Ashe@Gilgamesh:12.5"
        #[arg(value_name = "NAME@WORLD[:DISTANCE]", value_parser = near, required = true)]
        players: Vec<NearPlayer>,
        /// How long the set is valid
        #[arg(long, value_name = "MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
        minutes: u32,
    },
    /// Show which contacts are near, by plugins and by this command
    List,
    /// Empty the set of this command; sets of plugins stay
    Clear,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsCommand {
    /// Show the current limits
    Get,
    /// Change limits at once and until they are changed again; they override the daemon's configuration
    Set(LimitsArgs),
    /// Return to the limits of the daemon's configuration
    Reset,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct LimitsArgs {
    /// Upload to all players together, a second: "2MiB", or "off"
    #[arg(long, value_name = "SIZE", value_parser = limit)]
    up: Option<Limit>,
    /// Download from all players together
    #[arg(long, value_name = "SIZE", value_parser = limit)]
    down: Option<Limit>,
    /// Upload to any one player
    #[arg(long, value_name = "SIZE", value_parser = limit)]
    peer_up: Option<Limit>,
    /// Download from any one player
    #[arg(long, value_name = "SIZE", value_parser = limit)]
    peer_down: Option<Limit>,
    /// Whether the limits apply in the local network
    #[arg(long)]
    lan: Option<YesNo>,
}

/// A limit, or none. Not an `Option`: clap would take that for an absent flag.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<Rate>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

impl From<LimitsArgs> for LimitsSet {
    fn from(args: LimitsArgs) -> Self {
        Self {
            upload: args.up.map(|limit| limit.0),
            download: args.down.map(|limit| limit.0),
            peer_upload: args.peer_up.map(|limit| limit.0),
            peer_download: args.peer_down.map(|limit| limit.0),
            lan: args.lan.map(|lan| lan == YesNo::Yes),
        }
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    Rate::parse(text).map(Limit).map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeersCommand {
    /// Accept a player's new key, after the player has confirmed it to you
    Trust {
        /// The player's whole name
        #[arg(value_name = "NAME@WORLD")]
        player: PlayerName,
        /// The key that the player confirmed, as in "ed25519:…"
        #[arg(value_name = "KEY")]
        key: PeerId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactsCommand {
    /// List contacts, players who ask, and blocked keys
    List,
    /// Ask a player to be a contact
    Add {
        /// The player's whole name, as in "Alice Ashe@Gilgamesh"
        #[arg(value_name = "NAME@WORLD")]
        player: PlayerName,
        /// The player's key, if you know it: then no other key can answer to the name
        #[arg(value_name = "KEY")]
        key: Option<PeerId>,
    },
    /// Accept a player who asks
    Accept {
        /// A name, or the key that `contacts list` shows
        #[arg(value_name = "NAME@WORLD|KEY", value_parser = who)]
        who: Who,
    },
    /// Remove a contact, or refuse a player who asks; an open link ends at once
    Remove {
        /// A name, or the key that `contacts list` shows
        #[arg(value_name = "NAME@WORLD|KEY", value_parser = who)]
        who: Who,
    },
    /// Block a player's key; an open link ends at once
    Block {
        /// A name, or the key that `contacts list` shows
        #[arg(value_name = "NAME@WORLD|KEY", value_parser = who)]
        who: Who,
    },
    /// Unblock a key
    Unblock {
        /// A name, or the key that `contacts list` shows
        #[arg(value_name = "NAME@WORLD|KEY", value_parser = who)]
        who: Who,
    },
    /// Set how a contact is reached; an open link ends at once, and the next one is made so
    Set {
        /// A name, or the key that `contacts list` shows
        #[arg(value_name = "NAME@WORLD|KEY", value_parser = who)]
        who: Who,
        #[command(subcommand)]
        setting: ContactSetting,
    },
    /// Make a link by which one other player becomes a contact within a day
    Invite,
    /// Become the contact of the player who sent such a link
    Join {
        /// The whole link, as in "fyteclub://join/…"
        link: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactSetting {
    /// Whether relays carry what is exchanged with them. The daemon's `relay = "only"` counts more than this
    Relay {
        /// only: show them no address of this machine; on: where there is no direct way; off: never
        #[arg(value_name = "only|on|off")]
        relay: RelayWord,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RelayWord {
    Only,
    On,
    Off,
}

impl From<RelayWord> for RelayUse {
    fn from(word: RelayWord) -> Self {
        match word {
            RelayWord::Only => Self::Only,
            RelayWord::On => Self::On,
            RelayWord::Off => Self::Off,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show how much is stored
    Stats,
    /// Read every stored file again and remove those that are damaged
    Verify,
    /// Remove what is over the limit, incomplete, or named here; never files in use
    Gc {
        /// Reduce the cache to this size, as in "5 GiB"; the longest unused files are removed first
        #[arg(long, value_name = "SIZE", value_parser = size)]
        to: Option<u64>,
        /// Remove files that were not used for so many days
        #[arg(long, value_name = "DAYS", value_parser = days)]
        older_than: Option<u32>,
    },
    /// Move the cache to another folder or disk, while the daemon runs
    Move {
        /// An empty folder, or one that does not exist yet
        dir: PathBuf,
    },
}

fn who(text: &str) -> Result<Who, String> {
    if text.starts_with("ed25519:") {
        text.parse::<PeerId>().map(Who::from).map_err(|error| error.to_string())
    } else {
        text.parse::<PlayerName>().map(Who::from).map_err(|error| error.to_string())
    }
}

/// `Alice Ashe@Gilgamesh:12.5`; without a distance: 0.
fn near(text: &str) -> Result<NearPlayer, String> {
    let (name, distance) = text.rsplit_once(':').unwrap_or((text, "0"));
    let player = name.parse().map_err(|error| format!("{error}"))?;
    let wrong =
        || format!("`{}` is not a distance: it must be a number, 0 or more", escaped(distance, false));
    let distance = distance.parse::<f64>().map_err(|_| wrong())?;
    Ok(NearPlayer { player, distance: Distance::try_from(distance).map_err(|_| wrong())? })
}

fn days(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "it must be a whole number of days, such as 30")
}

/// `5 GiB`, `500 MB`, `70000000`.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size reads like 5 GiB, 500 MB or 70000000".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

fn option_choice(text: &str) -> Result<OptionChoice, String> {
    match text.split_once('=') {
        Some((group, option)) if !group.is_empty() && !option.is_empty() => {
            Ok(OptionChoice { group: group.to_owned(), option: option.to_owned() })
        }
        _ => Err("an option reads GROUP=OPTION, with the names that Penumbra shows".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_count_before_and_after_the_command() {
        for line in ["fyteclubctl --json --ipc x peers", "fyteclubctl peers --json --ipc x"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert!(cli.json && cli.ipc.as_deref() == Some("x"), "{line}");
        }
    }

    #[test]
    fn contacts_are_named_by_name_or_key() {
        let name = who("Alice Ashe@Gilgamesh").expect("a name");
        assert!(name.player.is_some() && name.peer_id.is_none());
        let key = who(&PeerId::from_bytes([7; 32]).to_string()).expect("a key");
        assert!(key.player.is_none() && key.peer_id.is_some());
        assert!(who("ed25519:short@World").is_err() && who("Alice").is_err());
    }

    #[test]
    fn near_player_has_a_name_and_maybe_a_distance() {
        for (text, distance) in [("Alice Ashe@Gilgamesh", 0.0), ("Alice Ashe@Gilgamesh:12.5", 12.5)] {
            let near = near(text).expect(text);
            assert_eq!((near.player.as_str(), f64::from(near.distance)), ("Alice Ashe@Gilgamesh", distance));
        }
        for bad in
            ["Alice", "Alice Ashe@Gilgamesh:", "Alice Ashe@Gilgamesh:-1", "Alice Ashe@Gilgamesh:inf", ":1"]
        {
            assert!(near(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [("5 GiB", 5 << 30), ("500MB", 500_000_000), ("0", 0), ("1k", 1024)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "GiB", "-1", "1.5 GiB", "99999999999 TiB", "5 elephants"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_change_only_the_given_values() {
        let parse = |line: &str| -> Result<LimitsSet, clap::Error> {
            let cli = Cli::try_parse_from(line.split(' '))?;
            match cli.command {
                Command::Limits { command: LimitsCommand::Set(args) } => Ok(LimitsSet::from(args)),
                other => panic!("{other:?}"),
            }
        };
        let change = parse("fyteclubctl limits set --up 2MiB --down off --lan no").expect("valid");
        let up = Rate::parse("2 MiB").expect("a rate");
        let expected =
            LimitsSet { upload: Some(up), download: Some(None), lan: Some(false), ..LimitsSet::default() };
        assert_eq!(change, expected);
        for bad in [
            "fyteclubctl limits set",
            "fyteclubctl limits set --up 1KiB",
            "fyteclubctl limits set --lan maybe",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_split_at_the_first_equals_sign() {
        let choice = option_choice("Body=a=b").expect("a choice");
        assert_eq!((choice.group.as_str(), choice.option.as_str()), ("Body", "a=b"));
        for bad in ["Body", "=x", "Body="] {
            assert!(option_choice(bad).is_err(), "{bad}");
        }
    }
}
