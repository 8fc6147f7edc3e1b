//! Logs: to standard error, and to one file a day in the data folder, of which the last seven are kept. Neither blocks
//! the daemon, each event is one line, and a repeated event is written once a minute (`fyteclub-logging`).
//!
//! Names and addresses appear at DEBUG only; no event is logged per chunk.

use crate::{
    config::{Config, LogFormat, paths},
    io::{private, trouble},
};
use fyteclub_logging::{DailyFile, Form, LogWriter, Sparse, Teller, filter, log_panics};
use fyteclub_proto::local::{Fault, FaultCode};
use std::io;
use tracing::Level;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

const FILES_KEPT: usize = 7;
/// The crates of the daemon.
const OWN: [&str; 6] = [
    "fyteclub_daemon",
    "fyteclub_store",
    "fyteclub_quic",
    "fyteclub_igd",
    "fyteclub_penumbra",
    "fyteclub_logging",
];

/// How much the log says, while the daemon runs. Clones share it. The default one changes nothing.
#[derive(Debug, Clone, Default)]
pub struct Detail(Option<(reload::Handle<Targets, Registry>, Targets)>);

impl Detail {
    /// `all`: also the daemon's own events at DEBUG, which have names and addresses; else the configuration's filter
    /// alone.
    ///
    /// # Errors
    /// There is no log.
    pub fn set(&self, all: bool) -> Result<(), Fault> {
        let failed = |why: &str| Fault::new(FaultCode::Internal, format!("the log cannot be changed: {why}"));
        let (handle, usual) = self.0.as_ref().ok_or_else(|| failed("none was started"))?;
        let filter = if all { detailed(usual.clone()) } else { usual.clone() };
        handle.reload(filter).map_err(|error| failed(&error.to_string()))?;
        let says = if all { "all details" } else { "the configured details" };
        tracing::info!("the log has {says}");
        Ok(())
    }
}

fn detailed(usual: Targets) -> Targets {
    OWN.into_iter().fold(usual, |filter, own| {
        if filter.would_enable(own, &Level::DEBUG) {
            filter
        } else {
            filter.with_target(own, LevelFilter::DEBUG)
        }
    })
}

/// Starts logging. Dropping the guard writes what is still in memory: first the counts, then standard error, then the
/// file.
///
/// # Errors
/// The log folder cannot be created, or logging was started before.
pub fn start(config: &Config) -> anyhow::Result<(Teller, Detail)> {
    let dir = paths::log_dir(&config.data_dir);
    // With the permissions of this user alone.
    private::create_dir(&dir).map_err(|error| trouble::explain_data(&config.data_dir, &dir, &error))?;
    trouble::usable_dir(&config.data_dir, &dir)?;
    let file = DailyFile::open(&dir, "fyteclubd", FILES_KEPT)
        .map_err(|(file, error)| trouble::explain_data(&config.data_dir, &file, &error))?;
    let (file, stderr, sparse) = (LogWriter::file(file)?, LogWriter::stderr()?, Sparse::default());
    let (to_file, to_stderr) = match config.log_format {
        LogFormat::Text => {
            let ansi = io::IsTerminal::is_terminal(&io::stderr());
            let form = if ansi { Form::Coloured } else { Form::Text };
            (
                fmt::layer()
                    .with_ansi(false)
                    .with_target(false)
                    .with_writer(file.guarded(Form::Text))
                    .boxed(),
                fmt::layer().with_ansi(ansi).with_target(false).with_writer(stderr.guarded(form)).boxed(),
            )
        }
        LogFormat::Json => (
            fmt::layer().json().with_writer(file.guarded(Form::Json)).boxed(),
            fmt::layer().json().with_writer(stderr.guarded(Form::Json)).boxed(),
        ),
    };
    let usual = filter::targets(&config.log)?;
    let (filter, handle) = reload::Layer::new(usual.clone());
    tracing_subscriber::registry()
        .with(filter)
        .with(sparse.clone())
        .with(to_file)
        .with(to_stderr)
        .try_init()?;
    log_panics(stderr.clone());
    Ok((sparse.start(vec![stderr, file])?, Detail(Some((handle, usual)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_the_daemons_own_and_end() {
        let usual = filter::targets("warn,fyteclub_store=trace").expect("a filter");
        let (filter, handle) = reload::Layer::new(usual.clone());
        let _log = tracing_subscriber::registry().with(filter).set_default();
        let detail = Detail(Some((handle.clone(), usual)));
        let enables = |target: &str, level| {
            handle.with_current(|filter| filter.would_enable(target, &level)).expect("there is a log")
        };
        assert!(!enables("fyteclub_daemon::app", Level::INFO));
        detail.set(true).expect("changed");
        assert!(enables("fyteclub_daemon::app", Level::DEBUG) && !enables("h2", Level::INFO));
        assert!(enables("fyteclub_store", Level::TRACE) && !enables("fyteclub_daemon", Level::TRACE));
        detail.set(false).expect("changed");
        assert!(!enables("fyteclub_daemon::app", Level::INFO) && enables("fyteclub_store", Level::TRACE));
        assert!(Detail::default().set(true).expect_err("no log").message.contains("none was started"));
    }
}
