//! Logs: to standard error, and to one file a day in the data folder, of which the last seven are kept. Neither blocks
//! the daemon, each event is one line, and a repeated event is written once a minute (`fyteclub-logging`).
//!
//! Names and addresses appear at DEBUG only; no event is logged per chunk.

use crate::{
    config::{Config, LogFormat, paths},
    io::{private, trouble},
};
use fyteclub_logging::{Form, Guarded, Sparse, Stderr, Teller, log_panics};
use std::{error::Error, fs, io, path::Path};
use tracing_appender::{
    non_blocking::{NonBlockingBuilder, WorkerGuard},
    rolling::{InitError, RollingFileAppender, Rotation},
};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

const FILES_KEPT: usize = 7;
/// Each costs 32 bytes of memory from the start; the appender's default of 128,000 would be a fifth of an idle daemon.
const LINES_WAITING: usize = 4_096;

/// Dropping it writes what is still in memory: first the counts, then standard error, then the file.
pub struct Log {
    _teller: Teller,
    _file: WorkerGuard,
}

/// Why today's file cannot be written to.
fn unwritable(config: &Config, dir: &Path, error: &InitError) -> anyhow::Error {
    let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()) else {
        return anyhow::anyhow!("no log can be written in {}: {error}", dir.display());
    };
    // Its name has the date, so it is the last one.
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let file = files.max().unwrap_or_else(|| dir.to_owned());
    trouble::explain_data(&config.data_dir, &file, cause).into()
}

/// Starts logging.
///
/// # Errors
/// The log folder cannot be created, or logging was started before.
pub fn start(config: &Config) -> anyhow::Result<Log> {
    let dir = paths::log_dir(&config.data_dir);
    // The appender creates it too, but warns first, and gives it permissions for everyone.
    private::create_dir(&dir).map_err(|error| trouble::explain_data(&config.data_dir, &dir, &error))?;
    trouble::usable_dir(&config.data_dir, &dir)?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("fyteclubd")
        .filename_suffix("log")
        .max_log_files(FILES_KEPT)
        .build(&dir)
        .map_err(|error| unwritable(config, &dir, &error))?;
    // When the disk is too slow, lines are lost and the daemon does not wait.
    let (file, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).finish(file);
    let (stderr, sparse) = (Stderr::start()?, Sparse::default());
    let (to_file, to_stderr) = match config.log_format {
        LogFormat::Text => {
            let ansi = io::IsTerminal::is_terminal(&io::stderr());
            let form = if ansi { Form::Coloured } else { Form::Text };
            let file = Guarded::new(file, Form::Text);
            (
                fmt::layer().with_ansi(false).with_target(false).with_writer(file).boxed(),
                fmt::layer().with_ansi(ansi).with_target(false).with_writer(stderr.guarded(form)).boxed(),
            )
        }
        LogFormat::Json => (
            fmt::layer().json().with_writer(Guarded::new(file, Form::Json)).boxed(),
            fmt::layer().json().with_writer(stderr.guarded(Form::Json)).boxed(),
        ),
    };
    tracing_subscriber::registry()
        .with(config.log.parse::<Targets>()?)
        .with(sparse.clone())
        .with(to_file)
        .with(to_stderr)
        .try_init()?;
    log_panics(stderr.clone());
    Ok(Log { _teller: sparse.start(stderr)?, _file: guard })
}
