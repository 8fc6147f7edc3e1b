//! `fyteclub-phonebook`: flags, log, signals; the rest is the library's.

mod cli;
mod logging;
mod service;

use anyhow::Context;
use clap::Parser;
use fyteclub_logging::{Teller, speak};
use fyteclub_phonebook::Server;
use service::{descriptors, signals, systemd};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cli::Args::try_parse().unwrap_or_else(|error| speak::refuse(error));
    // `run` drops the log, which flushes it, before `main` prints why the program ends.
    let result =
        logging::start(args.log).context("the log cannot be started").and_then(|log| run(&args, &log));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            speak::complain(&format!("fyteclub-phonebook: {}", speak::causes(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &cli::Args, log: &Teller) -> anyhow::Result<()> {
    let config = args.config()?;
    descriptors::raise_limit();
    let compat = config.compat;
    let is_nameless = config.names.is_empty() && !config.listen.ip().to_canonical().is_loopback();
    let server = Server::build(config)?;
    let handle = server.handle();
    let scheme = if server.is_encrypted() { "https" } else { "http" };
    actix_rt::System::new().block_on(async move {
        let signals = signals::obey(handle)?;
        speak::say(&format!("listening on {scheme}://{}", server.addr()));
        if compat {
            tracing::warn!("compatibility mode: writes are unsigned, so anybody can take over any name");
        }
        if is_nameless && !compat {
            tracing::warn!(
                "`names` is not set, so a body that was signed for another phone book can be repeated here"
            );
        }
        if let Some(operator) = server.operator_addr() {
            tracing::info!(port = operator.port(), "the operator's page is served, and metrics");
        }
        let watchdog = systemd::ready();
        let result = server.run().await;
        watchdog.abort();
        signals.abort();
        log.tell_counts();
        tracing::info!("stopped");
        result.context("the server ended on its own")
    })
}
