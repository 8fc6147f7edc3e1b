//! `fyteclubd`: everything is in the lib, see [`fyteclub_daemon::program`].

use clap::Parser;
use fyteclub_daemon::{cli::Cli, program};
use std::process::ExitCode;

fn main() -> ExitCode {
    program::main(Cli::parse().command)
}
