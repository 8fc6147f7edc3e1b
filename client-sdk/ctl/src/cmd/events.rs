//! Events during a long request.

use fyteclub_client::{Event, Events};

/// The next event. Pending for ever once the stream has ended: then the request's answer tells why.
pub(crate) async fn next(events: &mut Option<Events>) -> Event {
    if let Some(stream) = events
        && let Some(Ok(event)) = stream.next().await
    {
        return event;
    }
    *events = None;
    std::future::pending().await
}
