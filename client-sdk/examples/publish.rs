//! Publishes files as this player's look, each with its game path:
//! `cargo run -p fyteclub-client --example publish -- chara/a.tex=/home/alice/a.tex`.

use fyteclub_client::{AppearancePublish, Client, LocalFile, LocalObject, ObjectKind};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = |pair: String| {
        let (game_path, path) = pair.split_once('=')?;
        Some(LocalFile { path: path.to_owned(), game_paths: vec![game_path.to_owned()] })
    };
    let files =
        std::env::args().skip(1).map(file).collect::<Option<Vec<_>>>().ok_or("GAME_PATH=FILE, please")?;
    let character =
        LocalObject { kind: ObjectKind::Player, files, swaps: vec![], glamourer: None, customize_plus: None };
    let client = Client::connect_default().await.map_err(|error| error.to_string())?;
    let published = client
        .appearance_publish(AppearancePublish { objects: vec![character], ..Default::default() })
        .await?;
    println!("published {}: {} files, {} bytes", published.appearance, published.files, published.bytes);
    // Files that break a rule are left out; the rest is published.
    for left in published.left_out {
        println!("left out {}: {}", left.game_path, left.reason);
    }
    Ok(())
}
