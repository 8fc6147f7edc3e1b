//! `nearby set|list|clear`: near players, whose looks come first. A plugin sets them by itself.

use crate::{
    cli::NearbyCommand,
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, Nearby, NearbySet};

pub(crate) async fn run(client: &Client, page: &Page, command: NearbyCommand) -> Result<Exit, Failure> {
    let set = |players, minutes: u32| NearbySet {
        players: Some(players),
        keep_secs: Some(minutes.saturating_mul(60)),
        ..NearbySet::default()
    };
    let nearby = match command {
        NearbyCommand::Set { players, minutes } => client.nearby_set(set(players, minutes)).await?,
        NearbyCommand::List => client.nearby_list().await?,
        NearbyCommand::Clear => client.nearby_set(set(Vec::new(), 0)).await?,
    };
    page.show(&nearby, text)?;
    Ok(Exit::Done)
}

fn text(nearby: &Nearby) -> String {
    let rows: Vec<_> = (nearby.contacts.iter())
        .map(|near| {
            let link = if near.online { "connected" } else { "not connected" };
            [near.player.to_string(), words::distance(near.distance), link.to_owned()]
        })
        .collect();
    let mut text = if rows.is_empty() { "No contact is near.\n".to_owned() } else { words::table(0, &rows) };
    if nearby.others > 0 {
        text += &format!("{} of the named players are no contacts of yours.\n", nearby.others);
    }
    text
}
