//! Datagrams for QUIC that the kernel's socket cannot hand over: those of WebSockets, and those that share a message with
//! other peers' datagrams.

use quinn::udp::RecvMeta;
use std::{
    collections::VecDeque,
    io::IoSliceMut,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

/// How many bytes may wait: what a gigabit line brings in 8 ms.
const BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Queue {
    /// `false`: there is no space.
    pub(super) fn push(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        let mut waiting = self.waiting();
        if waiting.bytes + datagram.len() > BYTES_MAX {
            return false;
        }
        waiting.bytes += datagram.len();
        waiting.datagrams.push_back((from, datagram.to_vec()));
        waiting.waker.take().into_iter().for_each(Waker::wake);
        true
    }

    /// Fills these messages; says how many. Wakes the task when there is more.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> usize {
        let mut waiting = self.waiting();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((addr, datagram)) = waiting.datagrams.pop_front() else { break };
            waiting.bytes -= datagram.len();
            // A buffer takes the largest datagram that QUIC accepts: a longer one is none.
            let len = if datagram.len() <= buf.len() { datagram.len() } else { 0 };
            buf[..len].copy_from_slice(&datagram[..len]);
            *meta = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None };
            count += 1;
        }
        if waiting.datagrams.is_empty() {
            waiting.waker = Some(cx.waker().clone());
        } else {
            cx.waker().wake_by_ref();
        }
        count
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
