//! Converts the JSON that Penumbra accepts to strict JSON while it is read: comments, a comma before a closing bracket,
//! raw control characters in texts, a byte order mark. The parser behind it reports all other errors.
//!
//! It keeps one small buffer, and reads a file up to its cap.

use fyteclub_proto::number::u64_of;
use std::io::{self, Read};

const BUFFER: usize = 8 * 1024;

/// Why a file is refused before its JSON is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLong,
    Utf16,
}

/// A reader that yields strict JSON.
pub(super) struct Lenient<R> {
    source: R,
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
    /// Bytes that may still be read, and have been read.
    left: u64,
    taken: u64,
    begun: bool,
    /// Read ahead: the byte after a comma or a slash.
    ahead: Option<u8>,
    /// The output of one input byte.
    queue: [u8; 5],
    queued: usize,
    state: State,
    line: u64,
    column: u64,
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    Text,
    Escape,
}

impl<R: Read> Lenient<R> {
    /// Reads at most `cap` bytes; a longer source is refused.
    pub(super) fn new(source: R, cap: u64) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER].into(),
            at: 0,
            end: 0,
            left: cap,
            taken: 0,
            begun: false,
            ahead: None,
            queue: [0; 5],
            queued: 0,
            state: State::Outside,
            line: 1,
            column: 0,
            refusal: None,
        }
    }

    /// Line and column of the last read byte, from 1.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.line, self.column)
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn refuse(&mut self, refusal: Refusal) -> io::Error {
        self.refusal = Some(refusal);
        io::ErrorKind::InvalidData.into()
    }

    /// Refills the buffer. Reads at most one byte beyond the cap, to see whether there is one.
    fn fill(&mut self) -> io::Result<()> {
        (self.at, self.end) = (0, 0);
        // All three bytes of a byte order mark at once, also from a source of single bytes.
        let enough = if self.begun { 1 } else { 3 };
        while self.end < enough {
            let end = BUFFER.min(usize::try_from(self.left).map_or(BUFFER, |left| left.saturating_add(1)));
            match self.source.read(&mut self.buffer[self.end..end.max(self.end)]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if u64_of(self.end) > self.left {
            return Err(self.refuse(Refusal::TooLong));
        }
        self.left -= u64_of(self.end);
        self.taken += u64_of(self.end);
        if !std::mem::replace(&mut self.begun, true) {
            let start = &self.buffer[..self.end];
            if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
                return Err(self.refuse(Refusal::Utf16));
            }
            if start.starts_with("\u{FEFF}".as_bytes()) {
                self.at = 3;
                if self.at == self.end {
                    return self.fill();
                }
            }
        }
        Ok(())
    }

    fn raw(&mut self) -> io::Result<Option<u8>> {
        if let Some(byte) = self.ahead.take() {
            return Ok(Some(byte));
        }
        if self.at == self.end {
            self.fill()?;
            if self.end == 0 {
                return Ok(None);
            }
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        if byte == b'\n' {
            (self.line, self.column) = (self.line + 1, 0);
        } else {
            self.column += 1;
        }
        Ok(Some(byte))
    }

    /// Outside of texts: the next byte that is in no comment. A comment becomes a space.
    fn uncommented(&mut self) -> io::Result<Option<u8>> {
        let Some(byte) = self.raw()? else { return Ok(None) };
        if byte != b'/' {
            return Ok(Some(byte));
        }
        match self.raw()? {
            Some(b'/') => loop {
                if matches!(self.raw()?, None | Some(b'\n' | b'\r')) {
                    return Ok(Some(b' '));
                }
            },
            Some(b'*') => {
                let mut star = false;
                loop {
                    match self.raw()? {
                        // Unterminated: a slash is no JSON, so the parser fails there.
                        None => return Ok(Some(b'/')),
                        Some(b'/') if star => return Ok(Some(b' ')),
                        Some(byte) => star = byte == b'*',
                    }
                }
            }
            other => {
                self.ahead = other;
                Ok(Some(b'/'))
            }
        }
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        if self.queued > 0 {
            self.queued -= 1;
            return Ok(Some(self.queue[self.queued]));
        }
        match self.state {
            State::Outside => self.outside(),
            State::Text => match self.raw()? {
                Some(b'"') => {
                    self.state = State::Outside;
                    Ok(Some(b'"'))
                }
                Some(b'\\') => {
                    self.state = State::Escape;
                    Ok(Some(b'\\'))
                }
                Some(control @ 0..0x20) => {
                    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
                    // Last first.
                    self.queue = [digit(control), digit(control >> 4), b'0', b'0', b'u'];
                    self.queued = self.queue.len();
                    Ok(Some(b'\\'))
                }
                other => Ok(other),
            },
            State::Escape => {
                self.state = State::Text;
                self.raw()
            }
        }
    }

    fn outside(&mut self) -> io::Result<Option<u8>> {
        match self.uncommented()? {
            Some(b'"') => {
                self.state = State::Text;
                Ok(Some(b'"'))
            }
            Some(b',') => loop {
                match self.uncommented()? {
                    Some(b' ' | b'\t' | b'\r' | b'\n') => {}
                    Some(close @ (b'}' | b']')) => return Ok(Some(close)),
                    other => {
                        self.ahead = other;
                        return Ok(Some(b','));
                    }
                }
            },
            other => Ok(other),
        }
    }
}

impl<R: Read> Read for Lenient<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        for (number, place) in into.iter_mut().enumerate() {
            match self.next()? {
                Some(byte) => *place = byte,
                None => return Ok(number),
            }
        }
        Ok(into.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(text: &str) -> String {
        let mut out = String::new();
        Lenient::new(text.as_bytes(), 1 << 20).read_to_string(&mut out).expect("read");
        out
    }

    #[test]
    fn penumbras_json_becomes_strict_json() {
        for (theirs, ours) in [
            (r#"{"a": [1 , true]}"#, r#"{"a": [1 ,true]}"#),
            ("\u{FEFF}{}", "{}"),
            ("{\"a\": 1, // one\n}", "{\"a\": 1}"),
            ("[1, /* , */ ]", "[1]"),
            ("[1,\n 2 , ]", "[1,2 ]"),
            (r#"["// no comment, /* neither */,]"]"#, r#"["// no comment, /* neither */,]"]"#),
            (r#"["\",]", "\\",]"#, r#"["\",]","\\"]"#),
            ("[\"a\tb\n\u{1f}\"]", r#"["a\u0009b\u000a\u001f"]"#),
            ("[1,,]", "[1,]"),
            ("1 / 2", "1 / 2"),
            ("/**/1/***/", " 1 "),
        ] {
            assert_eq!(strict(theirs), ours, "{theirs:?}");
        }
    }

    #[test]
    fn strict_json_keeps_its_meaning() {
        let text = r#"{"a":[1,2,{"b":null}],"c/d":"e\\","f":"\"/*","g":[]}"#;
        assert_eq!(strict(text), text);
    }

    #[test]
    fn one_byte_over_the_cap_is_refused() {
        for (cap, refusal) in [(4, None), (3, Some(Refusal::TooLong))] {
            let mut lenient = Lenient::new(&b"1234"[..], cap);
            assert_eq!(lenient.read_to_end(&mut Vec::new()).is_err(), refusal.is_some());
            assert_eq!(lenient.refusal(), refusal);
        }
    }

    #[test]
    fn utf_16_is_reported_apart_from_broken_json() {
        let mut lenient = Lenient::new(&b"\xFF\xFE{\0}\0"[..], 100);
        assert!(lenient.read_to_end(&mut Vec::new()).is_err());
        assert_eq!(lenient.refusal(), Some(Refusal::Utf16));
    }

    #[test]
    fn the_place_is_that_of_the_source() {
        let mut lenient = Lenient::new(&b"/* a\n b */ [\"x\ny\",\n  !"[..], 100);
        lenient.read_to_end(&mut Vec::new()).expect("read");
        assert_eq!(lenient.place(), (4, 3));
    }
}
