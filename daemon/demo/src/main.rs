//! `fyteclub-demo`, the program that `cargo run` starts. `demo` is the README's first command; all other commands are
//! `fyteclubd`'s, because the demo starts this program again as its two daemons.

/// Prints a line. The reader may be gone (`| head`); the demo goes on.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        // The author of a mod chose some of these words.
        let line = format!($($text)*);
        writeln!(std::io::stdout(), "{}", fyteclub_proto::foreign::escaped(&line, false)).ok();
    }};
}

mod daemon_process;
mod demo;
mod progress;
mod sample;

use clap::{Parser, Subcommand};
use fyteclub_daemon::{cli, program};
use std::process::ExitCode;

/// Shows FyteClub on one machine: a phone book, two daemons, and a look that one fetches from the other.
#[derive(Debug, Parser)]
#[command(name = "fyteclub-demo", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch a look from one daemon to another on this machine
    Demo(demo::Demo),
    #[command(flatten)]
    Daemon(cli::Command),
}

fn main() -> ExitCode {
    match cli::parse::<Cli>().command {
        Command::Demo(args) => demo::run(args),
        Command::Daemon(command) => program::main(command),
    }
}
