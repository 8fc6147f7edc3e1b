//! Logs: to standard error, and to a file a day in the data folder, of which the last seven are kept. Neither is waited for,
//! each event is one line, and what is said again and again is said once a minute (`fyteclub-logging`).
//!
//! Names and addresses appear at DEBUG only; nothing is logged per chunk.

use crate::{
    config::{Config, LogFormat, paths},
    io::private,
};
use anyhow::Context;
use fyteclub_logging::{Form, Guarded, Sparse, Stderr, Teller, log_panics};
use tracing_appender::{
    non_blocking::{NonBlockingBuilder, WorkerGuard},
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

const FILES_KEPT: usize = 7;
/// Each costs 32 bytes of memory from the start; the appender's own 128,000 would be a fifth of an idle daemon.
const LINES_WAITING: usize = 4_096;

/// Writes what is still in memory when it is dropped: first the counts, then standard error, then the file.
pub struct Log {
    _teller: Teller,
    _file: WorkerGuard,
}

/// Starts logging.
///
/// # Errors
/// A log folder that cannot be made, or logging that was started before.
pub fn start(config: &Config) -> anyhow::Result<Log> {
    let dir = paths::log_dir(&config.data_dir);
    // The appender makes it too, but complains before, and lets everybody read it.
    private::create_dir(&dir).map_err(|error| private::explain_data(&dir, error))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("fyteclubd")
        .filename_suffix("log")
        .max_log_files(FILES_KEPT)
        .build(&dir)
        .with_context(|| format!("no log can be written in {}", dir.display()))?;
    // A disk that cannot keep up loses lines, not the daemon's time.
    let (file, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).finish(file);
    let (stderr, sparse) = (Stderr::start()?, Sparse::default());
    let (to_file, to_stderr) = match config.log_format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
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
