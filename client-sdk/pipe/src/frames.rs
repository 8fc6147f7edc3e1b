//! Frames of a byte stream. Memory grows with received bytes, not with announced lengths. `tokio_util`'s
//! `LengthDelimitedCodec` reserves a whole frame when its length is read, so it is not used.

pub use fyteclub_proto::frame::{JsonFrameError as EncodeError, json as encode, json_counted, json_length};

use fyteclub_proto::frame::{self, Frame, FrameError};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Buffer space before each read.
const ROOM: usize = 16 * 1024;
/// A full buffer grows by this part of its bytes.
const GROWTH: usize = 4;
/// Buffer kept between frames.
const KEPT: usize = 64 * 1024;

/// A frame that cannot be read. The connection is unusable after it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Received bytes.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// How many of `bytes` were returned already.
    used: usize,
    /// What the frame at the front lacks, as far as its length is known.
    missing: usize,
}

impl Frames {
    /// The next frame's body, at most `max` bytes, valid until the next call; `None` at the end of the stream.
    /// Cancel-safe.
    ///
    /// # Errors An empty frame, one over the limit, or a broken stream.
    pub async fn next<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut R,
        max: usize,
    ) -> Result<Option<&[u8]>, ReadError> {
        let body = loop {
            match frame::split(&self.bytes[self.used..], max)? {
                Frame::Whole { body, used } => {
                    let end = self.used + used;
                    let start = end - body.len();
                    self.used = end;
                    break start..end;
                }
                Frame::Incomplete { missing } => {
                    self.missing = missing;
                    if !self.read(from).await? {
                        return Ok(None);
                    }
                }
            }
        };
        Ok(Some(&self.bytes[body]))
    }

    /// The next frame's body, if all of it was received. A long one leaves without a copy.
    ///
    /// # Errors An empty frame, or one over the limit.
    pub fn take(&mut self, max: usize) -> Result<Option<Vec<u8>>, FrameError> {
        let (body, used) = match frame::split(&self.bytes[self.used..], max)? {
            Frame::Whole { body, used } => (body, used),
            Frame::Incomplete { missing } => {
                self.missing = missing;
                return Ok(None);
            }
        };
        let end = self.used + used;
        let start = end - body.len();
        let body = if body.len() > KEPT {
            let rest = self.bytes.split_off(end);
            let mut whole = std::mem::replace(&mut self.bytes, rest);
            self.used = 0;
            whole.drain(..start);
            whole
        } else {
            self.used = end;
            self.bytes[start..end].to_vec()
        };
        Ok(Some(body))
    }

    /// Receives some more bytes; `false` at the end of the stream. Cancel-safe.
    ///
    /// # Errors A broken stream.
    pub async fn read<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> io::Result<bool> {
        self.bytes.drain(..self.used);
        self.used = 0;
        if self.bytes.len() < ROOM {
            self.bytes.shrink_to(KEPT);
        }
        if self.bytes.capacity() == self.bytes.len() {
            self.bytes.reserve_exact(self.growth());
        }
        Ok(from.read_buf(&mut self.bytes).await? > 0)
    }

    /// The size of the buffer after the next [`Self::read`], at most.
    pub fn size_next(&self) -> usize {
        self.bytes.capacity().max(self.bytes.len() - self.used + self.growth())
    }

    /// Not twice as many bytes: a long frame would take twice its length. Nor more than the frame lacks.
    fn growth(&self) -> usize {
        ROOM.max(self.missing.min((self.bytes.len() - self.used) / GROWTH))
    }

    /// Whether the buffer ends in an incomplete frame.
    pub fn is_cut(&self) -> bool {
        self.used < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::{frame::join, limit::LOCAL_FRAME_MAX};

    fn framed(body: &[u8]) -> Vec<u8> {
        join(body, LOCAL_FRAME_MAX).expect("short enough")
    }

    async fn next<'a>(frames: &'a mut Frames, from: &mut &[u8]) -> Option<&'a [u8]> {
        frames.next(from, LOCAL_FRAME_MAX).await.expect("readable")
    }

    #[tokio::test]
    async fn frames_come_out_however_the_bytes_came_in() {
        let large = vec![b'x'; 3 * ROOM];
        let stream = [framed(b"one"), framed(&large), framed(b"three")].concat();
        let (mut from, mut frames) = (&stream[..], Frames::default());
        assert_eq!(next(&mut frames, &mut from).await, Some(&b"one"[..]));
        assert_eq!(next(&mut frames, &mut from).await, Some(&large[..]));
        assert_eq!(next(&mut frames, &mut from).await, Some(&b"three"[..]));
        assert_eq!(next(&mut frames, &mut from).await, None);
        assert!(!frames.is_cut());
    }

    #[tokio::test]
    async fn a_claim_costs_no_memory() {
        let mut claim = u32::try_from(LOCAL_FRAME_MAX).expect("small").to_le_bytes().to_vec();
        claim.extend_from_slice(b"only this");
        let mut frames = Frames::default();
        assert_eq!(next(&mut frames, &mut &claim[..]).await, None);
        assert!(frames.is_cut());
        assert!(frames.bytes.capacity() <= 4 * ROOM, "{}", frames.bytes.capacity());
        let wrong = Frames::default().next(&mut &[0xff; 4][..], LOCAL_FRAME_MAX).await.map(|_| ());
        assert!(matches!(wrong, Err(ReadError::Frame(FrameError::TooLong { .. }))), "{wrong:?}");
    }

    #[tokio::test]
    async fn large_frame_leaves_a_small_buffer() {
        let stream = [framed(&vec![b' '; 8 << 20]), framed(b"{}")].concat();
        let (mut from, mut frames) = (&stream[..], Frames::default());
        assert_eq!(next(&mut frames, &mut from).await.map(<[u8]>::len), Some(8 << 20));
        assert_eq!(next(&mut frames, &mut from).await, Some(&b"{}"[..]));
        assert_eq!(next(&mut frames, &mut from).await, None);
        assert!(frames.bytes.capacity() <= KEPT + ROOM, "{}", frames.bytes.capacity());
    }

    #[tokio::test]
    async fn taken_frames_are_whole_and_in_order() {
        let large = vec![b'x'; 3 << 20];
        let stream = [framed(b"one"), framed(&large), framed(b"three")].concat();
        let (mut from, mut frames, mut taken) = (&stream[..], Frames::default(), Vec::new());
        loop {
            while let Some(body) = frames.take(LOCAL_FRAME_MAX).expect("readable") {
                taken.push(body);
            }
            let most = frames.size_next();
            let more = frames.read(&mut from).await.expect("read");
            assert!(frames.bytes.capacity() <= most && most <= (3 << 20) + 2 * ROOM, "{most}");
            if !more {
                break;
            }
        }
        assert_eq!(taken, [b"one".to_vec(), large, b"three".to_vec()]);
        assert!(frames.bytes.capacity() <= KEPT + ROOM, "{}", frames.bytes.capacity());
    }

    #[test]
    fn encoded_frame_equals_a_joined_one() {
        assert_eq!(encode(&["a"], 16).expect("short"), framed(br#"["a"]"#));
        assert!(matches!(
            encode(&"x".repeat(16), 16),
            Err(EncodeError::Frame(FrameError::TooLong { claimed: 18, max: 16 }))
        ));
    }
}
