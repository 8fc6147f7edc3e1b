//! Logs: to standard error, and to one file a day in the data folder, of which the last seven are kept. Neither blocks
//! the daemon, each event is one line, and a repeated event is written once a minute (`fyteclub-logging`).
//!
//! Names and addresses appear at DEBUG only; no event is logged per chunk.

use crate::{
    config::{Config, LogFormat, paths},
    io::{private, trouble},
};
use fyteclub_logging::{DailyFile, Form, LogWriter, Sparse, Teller, filter, log_panics};
use std::io;
use tracing_subscriber::{Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

const FILES_KEPT: usize = 7;

/// Starts logging. Dropping the guard writes what is still in memory: first the counts, then standard error, then the
/// file.
///
/// # Errors
/// The log folder cannot be created, or logging was started before.
pub fn start(config: &Config) -> anyhow::Result<Teller> {
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
    tracing_subscriber::registry()
        .with(filter::targets(&config.log)?)
        .with(sparse.clone())
        .with(to_file)
        .with(to_stderr)
        .try_init()?;
    log_panics(stderr.clone());
    Ok(sparse.start(vec![stderr, file])?)
}
