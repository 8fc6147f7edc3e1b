//! `shutdown`: asks the daemon to stop, and waits until it closed the connection.

use crate::{
    exit::{Exit, Failure},
    render::Page,
};
use fyteclub_client::{Client, Error};
use serde_json::json;
use std::time::Duration;

/// The daemon's own deadline for a clean stop is 5 s.
const TIMEOUT: Duration = Duration::from_secs(7);

pub(crate) async fn shutdown(client: Client, page: &Page) -> Result<Exit, Failure> {
    match client.shutdown().await {
        // It stopped before it answered, as requested.
        Ok(()) | Err(Error::Lost) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = tokio::time::timeout(TIMEOUT, client.closed()).await.is_ok();
    page.show(&json!({}), |_| {
        if gone { "The daemon has stopped.".to_owned() } else { "The daemon is stopping.".to_owned() }
    })?;
    Ok(Exit::Done)
}
