//! `fyteclubctl`: parses the command line, runs one command, returns its exit code. `cli` has the commands, `cmd` runs
//! them, `render` prints.

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
    let cli = Cli::try_parse().unwrap_or_else(|error| render::refuse(error));
    let page = Page::new(cli.json);
    // Ctrl-C is the usual end of `watch`, and interrupts anything else. The daemon ends a fetch without other waiters,
    // and keeps its chunks.
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
