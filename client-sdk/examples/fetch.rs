//! Fetches a contact's look, and prints the file for each game path:
//! `cargo run -p fyteclub-client --example fetch -- "Alice Ashe@Gilgamesh"`.

use fyteclub_client::{Client, Error, FaultCode, PlayerName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let player: PlayerName = std::env::args().nth(1).ok_or("whose look?")?.parse()?;
    let client = Client::connect_default().await.map_err(|error| error.to_string())?;
    // Waits until all is verified and on disk. `watch` shows the progress; dropping the client ends the fetch.
    match client.peer_fetch(&player, None).await {
        Ok(look) => {
            for file in look.files {
                for game_path in file.game_paths {
                    println!("{game_path} = {}", file.path);
                }
            }
            Ok(())
        }
        // A program branches on the code, and shows the message.
        Err(Error::Fault(fault)) if fault.code == FaultCode::NotAContact => {
            println!("asking {player} to be a contact");
            client.contacts_add(&player, None).await?;
            Ok(())
        }
        Err(error) if error.is_retryable() => Err(format!("not now: {error}").into()),
        Err(error) => Err(error.to_string().into()),
    }
}
