//! Events beside a request that waits.

use fyteclub_client::{Event, Events};

/// The next event. Stays pending once they are over: then the request tells why.
pub async fn next(events: &mut Option<Events>) -> Event {
    if let Some(stream) = events
        && let Some(Ok(event)) = stream.next().await
    {
        return event;
    }
    *events = None;
    std::future::pending().await
}
