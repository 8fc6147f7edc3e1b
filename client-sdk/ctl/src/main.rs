//! `fyteclubctl`: reads the command line, runs one command, leaves with its exit code. What can be said is in `cli`,
//! what a command does in `cmd`, everything that is printed goes through `render`.

mod cli;
mod cmd;
mod exit;
mod render;
mod words;

use clap::Parser;
use cli::{Cli, Command};
use exit::Exit;
use render::Page;
use std::process::ExitCode;

// One thread: a command waits for one socket, and a script may run many commands.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let page = Page::new(cli.json);
    // Stopping to watch is how watching ends; anything else was cut short. The daemon gives up a fetch that nobody else
    // waits for, and keeps what came.
    let interrupted = match cli.command {
        Command::Watch => Exit::Done,
        _ => Exit::Interrupted,
    };
    let outcome = tokio::select! {
        outcome = cmd::run(cli, &page) => outcome,
        Ok(()) = tokio::signal::ctrl_c() => Ok(interrupted),
    };
    let exit = outcome.unwrap_or_else(|failure| {
        if let Some(sentence) = failure.sentence() {
            render::complain(&sentence);
        }
        failure.exit()
    });
    exit.into()
}
