//! `publish` and `unpublish`: this player's own look.

use crate::{
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, OptionChoice, Published, escaped};
use serde_json::json;
use std::path::PathBuf;

pub(crate) async fn publish(
    client: &Client,
    page: &Page,
    path: PathBuf,
    options: Vec<OptionChoice>,
) -> Result<Exit, Failure> {
    page.show(&client.appearance_publish_mod(path, options).await?, text)?;
    Ok(Exit::Done)
}

pub(crate) async fn unpublish(client: &Client, page: &Page) -> Result<Exit, Failure> {
    client.appearance_clear().await?;
    page.show(&json!({}), |_| "Nothing is published now.".to_owned())?;
    Ok(Exit::Done)
}

fn text(published: &Published) -> String {
    let mut text = words::table(
        0,
        &[
            ["Published".to_owned(), words::count(published.files, "file")],
            ["Size".to_owned(), words::bytes(published.bytes)],
            ["Appearance".to_owned(), published.appearance.to_string()],
        ],
    );
    if !published.left_out.is_empty() {
        text += &format!("\n{} left out\n", words::count_of(published.left_out.len(), "file"));
        for left in &published.left_out {
            // The mod's author chose these names.
            let [path, file, reason] =
                [&left.game_path, &left.file, &left.reason].map(|text| escaped(text, false));
            text += &format!("  {path}\n    from {file}\n    {reason}\n");
        }
    }
    text
}
