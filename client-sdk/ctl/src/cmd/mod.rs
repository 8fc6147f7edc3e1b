//! One file per noun. Each sends requests, formats the answer and has `render` print it.

mod cache;
mod contacts;
mod debug;
mod doctor;
mod events;
mod fetch;
mod limits;
mod metrics;
mod nearby;
mod peers;
mod publish;
mod shutdown;
mod status;
mod transfers;
mod watch;

use crate::{
    cli::{CacheCommand, Cli, Command, LimitsCommand, PeersCommand},
    exit::{Exit, Failure},
    render::Page,
};
use fyteclub_client::{Client, pipe};

pub(crate) async fn run(cli: Cli, page: &Page) -> Result<Exit, Failure> {
    let endpoint =
        cli.ipc.filter(|ipc| !ipc.is_empty()).unwrap_or_else(|| pipe::Endpoint::usual().to_string());
    let program = concat!("fyteclubctl ", env!("CARGO_PKG_VERSION"));
    let client = Client::connect_as(&endpoint, program).await?;
    match cli.command {
        Command::Status => status::show(&client, page).await,
        Command::Doctor { who, bundle: Some(file) } => doctor::bundle(&client, page, who, &file).await,
        Command::Doctor { who, bundle: None } => doctor::doctor(&client, page, who).await,
        Command::Publish { path, options } => publish::publish(&client, page, path, options).await,
        Command::Unpublish => publish::unpublish(&client, page).await,
        Command::Fetch { player, out } => fetch::fetch(&client, page, player, out).await,
        Command::Transfers => transfers::list(&client, page).await,
        Command::Cancel { player } => transfers::cancel(&client, page, player).await,
        Command::Reconnect { player } => peers::reconnect(&client, page, player).await,
        Command::Failover { player } => peers::failover(&client, page, player).await,
        Command::Nearby { command } => nearby::run(&client, page, command).await,
        Command::Limits { command: LimitsCommand::Get } => limits::get(&client, page).await,
        Command::Limits { command: LimitsCommand::Set(set) } => limits::set(&client, page, set.into()).await,
        Command::Limits { command: LimitsCommand::Reset } => limits::reset(&client, page).await,
        Command::Contacts { command } => contacts::run(&client, page, command).await,
        Command::Peers { command: None } => peers::list(&client, page).await,
        Command::Peers { command: Some(PeersCommand::Trust { player, key }) } => {
            peers::trust(&client, page, player, key).await
        }
        Command::Connect { address, key } => peers::connect(&client, page, address, key).await,
        Command::Cache { command } => match command {
            CacheCommand::Stats => cache::stats(&client, page).await,
            CacheCommand::Verify => cache::verify(&client, page).await,
            CacheCommand::Gc { to, older_than } => cache::gc(&client, page, to, older_than).await,
            CacheCommand::Move { dir } => cache::move_to(&client, page, &dir).await,
        },
        Command::Watch => watch::watch(&client, page).await,
        Command::Debug { detail } => debug::debug(&client, page, detail).await,
        Command::Metrics => metrics::show(&client, page).await,
        Command::Shutdown => shutdown::shutdown(client, page).await,
    }
}
