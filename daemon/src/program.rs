//! The program `fyteclubd`: command line → configuration → daemon. The demo's program runs it too.

use crate::{
    app::{self, App},
    cli::{Command, Run, Settings},
    config::{Config, paths},
    io::{
        keeper::Keeper,
        limits::{LimitsFile, LimitsFileError},
        private, trouble,
    },
    logging, service,
};
use anyhow::Context;
use fyteclub_logging::speak;
use fyteclub_proto::fetching::pace::Rate;
use std::process::ExitCode;

const BLOCKING_THREADS: usize = 8;

/// Returns 0 after a clean stop, 1 after a failure, 2 for a wrong command line or configuration.
pub fn main(command: Command) -> ExitCode {
    match command {
        Command::Run(Run { settings, new_identity }) => run(settings, new_identity),
        Command::CheckConfig(settings) => check_config(settings),
        Command::RotateKey(settings) => rotate_key(settings),
    }
}

fn check_config(settings: Settings) -> ExitCode {
    match settings.load() {
        Ok(config) => {
            speak::say(config.to_string().trim_end());
            match limits_set_here(&config) {
                Ok(None) => {}
                Ok(Some(limits)) => speak::say(&format!("\n{limits}")),
                Err(error) => return fail(&error.into(), 2),
            }
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.into(), 2),
    }
}

/// Limits that override the configuration's, and the command that resets them.
fn limits_set_here(config: &Config) -> Result<Option<String>, LimitsFileError> {
    let file = LimitsFile::load(&paths::limits_file(&config.data_dir), config.limits, Keeper::default())?;
    let set = file.set_here();
    let rate = |name: &str, rate: Option<Option<Rate>>| {
        rate.map(|rate| format!("{name} = {}\n", rate.map_or_else(|| "off".into(), |rate| rate.to_string())))
    };
    let lines = [
        rate("upload_limit", set.upload),
        rate("download_limit", set.download),
        rate("peer_upload_limit", set.peer_upload),
        rate("peer_download_limit", set.peer_download),
        set.lan.map(|lan| format!("limit_lan = {lan}\n")),
    ];
    let lines: String = lines.into_iter().flatten().collect();
    Ok((!lines.is_empty()).then(|| {
        format!(
            "These were set while the daemon ran and override the configuration; `fyteclubctl limits reset` removes them:\n{}",
            lines.trim_end()
        )
    }))
}

fn rotate_key(settings: Settings) -> ExitCode {
    let config = match settings.load() {
        Ok(config) => config,
        Err(error) => return fail(&error.into(), 2),
    };
    match app::rotate_key(&config) {
        Ok((old, new)) => {
            speak::say(&format!(
                "The key is replaced.\nold  {old}\nnew  {new}\nStart the daemon: phone books and contacts who are online learn it from the old key's signature."
            ));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, 1),
    }
}

fn run(settings: Settings, new_identity: bool) -> ExitCode {
    let until_stdin_closes = settings.until_stdin_closes;
    let config = match settings.load() {
        Ok(config) => config,
        Err(error) => return fail(&error.into(), 2),
    };
    let system = actix::System::with_tokio_rt(runtime);
    let result = system.block_on(async {
        service::survive_limits();
        // Before anything is written in it: its files are private.
        private::create_dir(&config.data_dir)
            .map_err(|error| trouble::explain_data(&config.data_dir, &config.data_dir, &error))?;
        let (log, detail) = logging::start(&config)?;
        let app = App::start(&config, new_identity, detail).await?;
        // The parent process may have ended, or may never read this.
        speak::say("ready");
        service::ready();
        tokio::select! {
            result = service::stop_requested() => result.context("cannot listen for signals")?,
            () = app.asked_to_stop() => {}
            () = stdin_closed(), if until_stdin_closes => {}
        }
        app.stop().await;
        log.tell_counts();
        tracing::info!("stopped");
        anyhow::Ok(())
    });
    // Blocking work that hangs on a disk must not keep the process alive: every part has had its time to stop.
    match result {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            fail(&error, 1);
            std::process::exit(1)
        }
    }
}

/// One thread for decisions and network; a few for disk and hashing. More do not help on two cores, and each uses
/// memory.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .expect("a new process has free file handles")
}

/// On a thread of its own: a read of standard input cannot be cancelled.
async fn stdin_closed() {
    let (closed, seen) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        closed.send(()).ok();
    });
    seen.await.ok();
}

fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    speak::complain(&format!("fyteclubd: {}", speak::causes(error.as_ref())));
    ExitCode::from(code)
}
