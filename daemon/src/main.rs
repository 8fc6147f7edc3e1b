//! `fyteclubd`: everything is in the lib, see [`fyteclub_daemon::program`].

use fyteclub_daemon::{
    cli::{self, Cli},
    program,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    program::main(cli::parse::<Cli>().command)
}
