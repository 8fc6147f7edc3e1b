//! Length-prefixed frames, for the local API (little-endian length) and the peers' control stream.
//!
//! Distinguishes *incomplete* (read more) from *wrong* (close).

use serde::Serialize;
use std::io;

/// Bytes of the length in front of every frame.
pub const HEADER: usize = 4;

/// A frame that stays invalid however much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    #[error("a frame of {claimed} bytes was announced, and at most {max} are read")]
    TooLong { claimed: usize, max: usize },
    #[error("an empty frame was announced")]
    Empty,
}

/// A value that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum JsonFrameError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Not JSON: a mistake of the program.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The state of the received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The body, and the input bytes used, with the header.
    Whole { body: &'a [u8], used: usize },
    /// At least this many more bytes are needed. Never more than `max` plus the header.
    Incomplete { missing: usize },
}

/// Parses the front of `input`. Allocates nothing.
///
/// # Errors A length of zero or above `max`.
pub fn split(input: &[u8], max: usize) -> Result<Frame<'_>, FrameError> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER>() else {
        return Ok(Frame::Incomplete { missing: HEADER - input.len() });
    };
    let length = length(*header, max)?;
    match rest.get(..length) {
        Some(body) => Ok(Frame::Whole { body, used: HEADER + length }),
        None => Ok(Frame::Incomplete { missing: length - rest.len() }),
    }
}

/// The announced length, if allowed.
///
/// # Errors A length of zero or above `max`.
pub fn length(header: [u8; HEADER], max: usize) -> Result<usize, FrameError> {
    match crate::number::index(u32::from_le_bytes(header)) {
        0 => Err(FrameError::Empty),
        claimed if claimed > max => Err(FrameError::TooLong { claimed, max }),
        length => Ok(length),
    }
}

/// Prepends the length to a body.
///
/// # Errors The limits of reading.
pub fn join(body: &[u8], max: usize) -> Result<Vec<u8>, FrameError> {
    if body.is_empty() {
        return Err(FrameError::Empty);
    }
    let too_long = FrameError::TooLong { claimed: body.len(), max };
    if body.len() > max {
        return Err(too_long);
    }
    let length = u32::try_from(body.len()).map_err(|_| too_long)?;
    let mut frame = Vec::with_capacity(HEADER + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

/// A frame of JSON. The value is serialized twice, first to count its bytes: so there is one allocation of the exact
/// size, and none if it is too long.
///
/// # Errors As [`join`], and values that are no JSON.
pub fn json<T: Serialize + ?Sized>(value: &T, max: usize) -> Result<Vec<u8>, JsonFrameError> {
    json_counted(value, json_length(value)?, max)
}

/// A frame of JSON whose length is known from [`json_length`].
///
/// # Errors As [`json`].
pub fn json_counted<T: Serialize + ?Sized>(
    value: &T,
    claimed: usize,
    max: usize,
) -> Result<Vec<u8>, JsonFrameError> {
    let length = u32::try_from(claimed).ok().filter(|_| claimed <= max);
    let length = length.ok_or(FrameError::TooLong { claimed, max })?;
    let mut frame = Vec::with_capacity(HEADER + claimed);
    frame.extend_from_slice(&length.to_le_bytes());
    serde_json::to_writer(&mut frame, value)?;
    Ok(frame)
}

/// The bytes of a value as JSON. Allocates nothing.
///
/// # Errors Values that are no JSON.
pub fn json_length<T: Serialize + ?Sized>(value: &T) -> Result<usize, serde_json::Error> {
    let mut counted = Count(0);
    serde_json::to_writer(&mut counted, value)?;
    Ok(counted.0)
}

/// Counts written bytes.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_is_not_wrong() {
        let frame = join(b"hello", 16).expect("short");
        for cut in 0..frame.len() {
            assert!(
                matches!(split(&frame[..cut], 16), Ok(Frame::Incomplete { missing }) if missing > 0),
                "{cut}"
            );
        }
        assert_eq!(split(&frame, 16), Ok(Frame::Whole { body: b"hello", used: 9 }));
        assert_eq!(split(&[&frame[..], b"x"].concat(), 16), Ok(Frame::Whole { body: b"hello", used: 9 }));
    }

    #[test]
    fn a_claim_above_the_limit_is_wrong_at_once() {
        assert_eq!(split(&17u32.to_le_bytes(), 16), Err(FrameError::TooLong { claimed: 17, max: 16 }));
        assert_eq!(split(&0u32.to_le_bytes(), 16), Err(FrameError::Empty));
        assert!(join(&[0; 17], 16).is_err());
        assert!(join(&[], 16).is_err());
    }

    #[test]
    fn json_is_framed_like_its_text() {
        let text = serde_json::to_vec("sixteen letters").expect("encodes");
        assert_eq!(json("sixteen letters", text.len()).ok(), join(&text, text.len()).ok());
        let error = json("sixteen letters", text.len() - 1).expect_err("one byte too long");
        assert!(matches!(error, JsonFrameError::Frame(FrameError::TooLong { .. })), "{error}");
    }
}
