//! `limits get|set|reset`: limits of speed.

use crate::{
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, Limits, LimitsSet, Rate};

pub(crate) async fn get(client: &Client, page: &Page) -> Result<Exit, Failure> {
    page.show(&client.limits_get().await?, text)?;
    Ok(Exit::Done)
}

pub(crate) async fn set(client: &Client, page: &Page, change: LimitsSet) -> Result<Exit, Failure> {
    page.show(&client.limits_set(change).await?, text)?;
    Ok(Exit::Done)
}

pub(crate) async fn reset(client: &Client, page: &Page) -> Result<Exit, Failure> {
    page.show(&client.limits_reset().await?, text)?;
    Ok(Exit::Done)
}

fn text(Limits { limits, set_here }: &Limits) -> String {
    let rate = |rate: Option<Rate>| rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string());
    let rows = [
        ["", "all players", "each player"].map(ToOwned::to_owned),
        ["Upload".to_owned(), rate(limits.upload), rate(limits.peer_upload)],
        ["Download".to_owned(), rate(limits.download), rate(limits.peer_download)],
    ];
    let lan = if limits.lan { "limited as well" } else { "not limited" };
    let mut text = words::table(0, &rows) + &format!("The local network is {lan}.\n");
    if *set_here {
        text += "Set here, and kept; `fyteclubctl limits reset` returns to the configuration.\n";
    }
    text
}
