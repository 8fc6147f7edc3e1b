//! Logs: to standard error, and to a file a day in the data folder, of which the last seven are kept.
//!
//! Names and addresses appear at DEBUG only; nothing is logged per chunk.

use crate::{
    config::{Config, LogFormat, paths},
    io::private,
};
use tracing_appender::{
    non_blocking::{NonBlockingBuilder, WorkerGuard},
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

const FILES_KEPT: usize = 7;
/// Each costs 32 bytes of memory from the start; the appender's own 128,000 would be a fifth of an idle daemon.
const LINES_WAITING: usize = 4_096;

/// Starts logging. What is still in memory is written when the guard is dropped.
///
/// # Errors
/// A log folder that cannot be made, or logging that was started before.
pub fn start(config: &Config) -> anyhow::Result<WorkerGuard> {
    // The appender makes it too, but complains before, and lets everybody read it.
    private::create_dir(&paths::log_dir(&config.data_dir))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("fyteclubd")
        .filename_suffix("log")
        .max_log_files(FILES_KEPT)
        .build(paths::log_dir(&config.data_dir))?;
    // A disk that cannot keep up loses lines, not the daemon's time.
    let (file, guard) = NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).finish(file);
    let to_file = match config.log_format {
        LogFormat::Text => fmt::layer().with_ansi(false).with_target(false).with_writer(file).boxed(),
        LogFormat::Json => fmt::layer().json().with_writer(file).boxed(),
    };
    let to_stderr = match config.log_format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            fmt::layer().with_ansi(ansi).with_target(false).with_writer(std::io::stderr).boxed()
        }
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry()
        .with(config.log.parse::<EnvFilter>()?)
        .with(to_file)
        .with(to_stderr)
        .try_init()?;
    Ok(guard)
}
