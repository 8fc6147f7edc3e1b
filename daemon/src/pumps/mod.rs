//! Pumps: plain tasks that carry bytes between a stream and the store. They decide nothing and know nobody above them:
//! what a pump has to say goes to whoever handed it a place to say it.
//!
//! A pump that cannot write stops reading, and QUIC's flow control slows the sender: that is all the backpressure there
//! is. Disk, hash, seal and zstd run on blocking threads, one job ahead of the network.

pub mod compression;
mod document;
pub mod pace;
pub mod plan;
pub mod possession;
pub mod pull;
pub mod push;
pub mod scan;

/// How many bytes one blocking job handles: a chunk, or as many small blobs. Larger costs memory, smaller thread hops
/// (about 12 µs each in an earlier prototype).
const JOB_BYTES: usize = fyteclub_proto::limit::CHUNK_SIZE;
/// And how many records, so that empty files do not add up.
const JOB_RECORDS: usize = 64;

/// Runs blocking work. A panic in it is passed on: it is a defect, and the task that waits for it ends.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nothing after this matters.
            Err(_) => std::future::pending().await,
        },
    }
}
