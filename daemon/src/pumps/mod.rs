//! Pumps: Tokio tasks that move bytes between a stream and the store. They decide nothing and know no actor: a pump
//! reports through a closure that it was given.
//!
//! A pump that cannot write stops reading, and QUIC's flow control slows the sender: there is no other backpressure.
//! Disk, hash, seal and zstd run on blocking threads, one job ahead of the network.

pub mod compression;
mod document;
pub mod pace;
pub mod plan;
pub mod possession;
pub mod pull;
pub mod push;
pub mod scan;

/// Bytes of one blocking job: a chunk, or as many small blobs. Larger jobs use memory, smaller ones thread switches
/// (about 12 µs each in an earlier measurement).
const JOB_BYTES: usize = fyteclub_proto::limit::CHUNK_SIZE;
/// Most records of one job, so that empty files do not add up.
const JOB_RECORDS: usize = 64;

/// Runs blocking work. A panic in it is passed on, because it is a defect, and ends the waiting task.
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
