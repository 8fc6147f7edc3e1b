//! `fyteclub-demo`: what `cargo run` starts. `demo` is the README's first command; every other command is `fyteclubd`'s,
//! because the demo starts this program again as its two daemons.

/// A line for whoever watches. Nobody may be there any more (`| head`), and the demo goes on.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod daemon_process;
mod demo;
mod progress;
mod sample;

use clap::{Parser, Subcommand};
use fyteclub_daemon::{cli, program};
use std::process::ExitCode;

/// Shows FyteClub on one machine: a phone book, two daemons, and a look that travels between them.
#[derive(Debug, Parser)]
#[command(name = "fyteclub-demo", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let a look travel between two daemons on this machine, to see it work
    Demo(demo::Demo),
    #[command(flatten)]
    Daemon(cli::Command),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Daemon(command) => program::main(command),
    }
}
