//! Moves a signed document, at both ends: at the limits' rate, and with a time limit.
//!
//! A document is sealed as a whole, so both ends hold all of it.

use super::pace::Pacer;
use crate::io::quic::{Link, stream::StreamError};
use bytes::Bytes;
use fyteclub_proto::{
    fetching::pace::Direction,
    limit::{DOCUMENT_RATE_MIN, DOCUMENT_STALL},
    number::{f64_of, u64_of},
};
use quinn::{RecvStream, SendStream};
use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Bytes between two checks of the time and of the limits.
const STEP: usize = 64 * 1024;

/// How long the other end may still stall: [`DOCUMENT_STALL`] at first and at most, less its stalls, plus time earned
/// by moved bytes. Waits for this side's own limits do not count.
pub(super) struct StallLimit(Duration);

impl Default for StallLimit {
    fn default() -> Self {
        Self(DOCUMENT_STALL)
    }
}

impl StallLimit {
    /// # Errors
    /// `Short` if stall_limit ends before `work` does.
    pub(super) async fn within<T, E: From<StreamError>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let result = tokio::time::timeout(self.0, work).await;
        self.0 = self.0.saturating_sub(began.elapsed());
        result.unwrap_or_else(|_| Err(StreamError::Short.into()))
    }

    fn moved(&mut self, bytes: usize) {
        let earned = Duration::from_secs_f64(f64_of(u64_of(bytes)) / f64_of(DOCUMENT_RATE_MIN));
        self.0 = (self.0 + earned).min(DOCUMENT_STALL);
    }
}

/// Writes the document, and waits until the other end has all of it: until then quinn holds it.
///
/// # Errors
/// The stream or link broke, or the other end does not read.
pub(super) async fn send(
    link: &Link,
    pacer: &Pacer,
    stream: &mut SendStream,
    mut bytes: Bytes,
) -> Result<(), StreamError> {
    let mut stall_limit = StallLimit::default();
    while !bytes.is_empty() {
        let step = bytes.len().min(STEP);
        let turn = tokio::select! {
            turn = pacer.wait(link, Direction::Up, step) => turn,
            // Otherwise waiters for lost links would take the others' turns.
            error = link.closed() => return Err(error.into()),
        };
        let step = bytes.split_to(turn.clamp(1, step));
        let len = step.len();
        stall_limit.within(async { Ok::<_, StreamError>(stream.write_chunk(step).await?) }).await?;
        stall_limit.moved(len);
    }
    stream.finish().ok();
    stall_limit
        .within(async {
            // An error: the other end wants no more of it, or the link is lost. In both cases nothing is held.
            stream.stopped().await.ok();
            Ok(())
        })
        .await
}

/// Reads exactly `len` bytes. At most twice the received bytes are allocated.
///
/// # Errors
/// The stream ended, broke, or stalled for too long.
pub(super) async fn receive(
    link: &Link,
    pacer: &Pacer,
    mut stall_limit: StallLimit,
    stream: &mut RecvStream,
    len: usize,
) -> Result<Vec<u8>, StreamError> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let start = bytes.len();
        let turn = pacer.wait(link, Direction::Down, (len - start).min(STEP)).await;
        let turn = turn.clamp(1, (len - start).min(STEP));
        bytes.resize(start + turn, 0);
        let mut came = 0;
        while came < turn {
            let rest = bytes.get_mut(start + came..).unwrap_or_default();
            let read = stall_limit.within(async { Ok::<_, StreamError>(stream.read(rest).await?) }).await?;
            let read = read.ok_or(StreamError::Short)?;
            stall_limit.moved(read);
            came += read;
        }
    }
    Ok(bytes)
}
