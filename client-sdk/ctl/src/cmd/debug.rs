//! `debug`: how much the daemon's log says.

use crate::{
    cli::OnOff,
    exit::{Exit, Failure},
    render::Page,
};
use fyteclub_client::Client;
use serde_json::json;

pub(crate) async fn debug(client: &Client, page: &Page, detail: OnOff) -> Result<Exit, Failure> {
    client.debug(detail == OnOff::On).await?;
    page.show(&json!({}), |_| match detail {
        OnOff::On => {
            "The log tells details, with names and addresses, until `fyteclubctl debug off` or the daemon's end.".to_owned()
        }
        OnOff::Off => "The log tells what the configuration says.".to_owned(),
    })?;
    Ok(Exit::Done)
}
