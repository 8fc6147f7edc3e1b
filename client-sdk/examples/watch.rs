//! Prints events until the daemon stops: `cargo run -p fyteclub-client --example watch`.

use fyteclub_client::{Client, Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Connects to this user's daemon, or to FYTECLUB_IPC, and greets it.
    let client = Client::connect_default().await.map_err(|error| error.to_string())?;
    println!("daemon {}, speaks version {}", client.daemon().version, client.daemon().protocol);
    let mut events = client.watch().await?;
    while let Some(event) = events.next().await {
        match event? {
            // First, and again whenever this program missed events.
            Event::State(state) => {
                println!("{} peers, {} transfers", state.peers.len(), state.transfers.len())
            }
            Event::PeerConnected { player: Some(player), path, .. } => {
                println!("{player} is here ({path:?})")
            }
            Event::PeerLook { player, appearance: Some(look), .. } => println!("{player} shows {look}"),
            Event::TransferProgress(now) => {
                println!("{}: {} of {} bytes", now.player, now.bytes_done, now.bytes_total)
            }
            Event::AppearanceReady { player, files, .. } => println!("{player} is ready: {files} files"),
            Event::TransferFailed { player, error } => println!("{player} failed: {error}"),
            // Newer daemons send events that this program does not know.
            _ => {}
        }
    }
    Ok(())
}
