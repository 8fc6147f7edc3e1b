//! Frames out of a stream of bytes: memory grows with what has arrived, never with what was announced.

use crate::error::End;
use fyteclub_proto::{
    frame::{self, Frame},
    limit::LOCAL_FRAME_MAX,
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room made before each read, and what is kept between large frames.
const ROOM: usize = 16 * 1024;

pub(crate) struct Frames<R> {
    from: R,
    bytes: Vec<u8>,
    /// How many of `bytes` were handed out already.
    used: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, bytes: Vec::new(), used: 0 }
    }

    /// The next frame's body, valid until the next call.
    pub(crate) async fn next(&mut self) -> Result<&[u8], End> {
        let body = loop {
            match frame::split(&self.bytes[self.used..], LOCAL_FRAME_MAX) {
                Ok(Frame::Whole { body, used }) => {
                    let end = self.used + used;
                    let start = end - body.len();
                    self.used = end;
                    break start..end;
                }
                Ok(Frame::Incomplete { .. }) => self.read().await?,
                Err(error) => return Err(End::Garbled(error.into())),
            }
        };
        Ok(&self.bytes[body])
    }

    async fn read(&mut self) -> Result<(), End> {
        self.bytes.drain(..self.used);
        self.used = 0;
        if self.bytes.len() < ROOM {
            self.bytes.shrink_to(2 * ROOM);
        }
        self.bytes.reserve(ROOM);
        match self.from.read_buf(&mut self.bytes).await {
            // A daemon that is killed with our bytes unread shows as a reset, and is gone all the same.
            Ok(0) | Err(_) if self.bytes.is_empty() => Err(End::Closed),
            Ok(0) | Err(_) => Err(End::Cut),
            Ok(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Garbled;
    use fyteclub_proto::frame::join;

    fn framed(body: &[u8]) -> Vec<u8> {
        join(body, LOCAL_FRAME_MAX).expect("short enough")
    }

    #[tokio::test]
    async fn frames_come_out_however_the_bytes_came_in() {
        let large = vec![b'x'; 3 * ROOM];
        let stream = [framed(b"one"), framed(&large), framed(b"three")].concat();
        let mut frames = Frames::new(&stream[..]);
        assert_eq!(frames.next().await.expect("whole"), b"one");
        assert_eq!(frames.next().await.expect("whole"), large);
        assert_eq!(frames.next().await.expect("whole"), b"three");
        assert!(matches!(frames.next().await, Err(End::Closed)));
    }

    #[tokio::test]
    async fn a_claim_costs_no_memory() {
        let mut claim = u32::try_from(LOCAL_FRAME_MAX).expect("small").to_le_bytes().to_vec();
        claim.extend_from_slice(b"only this");
        let mut frames = Frames::new(&claim[..]);
        assert!(matches!(frames.next().await, Err(End::Cut)));
        assert!(frames.bytes.capacity() <= 4 * ROOM, "{}", frames.bytes.capacity());
        let mut frames = Frames::new(&[0xff; 4][..]);
        assert!(matches!(frames.next().await, Err(End::Garbled(Garbled::Frame(_)))));
    }
}
