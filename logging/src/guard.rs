//! Keeps an event on one line without hidden characters, even where others' text was not framed. It is between the
//! formatter and the file, so every line passes it.

use fyteclub_proto::foreign;
use std::{borrow::Cow, io};
use tracing_subscriber::fmt::MakeWriter;

/// How hidden characters are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Text,
    /// With the formatter's own colours, whose ESC passes. The formatter escapes others' ESC.
    Coloured,
    Json,
}

/// `line` with every hidden character but the last line feed escaped.
pub fn guarded(line: &[u8], form: Form) -> Cow<'_, [u8]> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, &b"\n"[..]),
        None => (line, &b""[..]),
    };
    if text.iter().all(|byte| matches!(byte, b' '..=b'~') || (*byte == 0x1b && form == Form::Coloured)) {
        return Cow::Borrowed(line);
    }
    let text = String::from_utf8_lossy(text);
    let shown = match form {
        Form::Coloured => {
            let parts: Vec<_> = text.split('\x1b').map(|part| foreign::escaped(part, false)).collect();
            parts.join("\x1b")
        }
        Form::Text | Form::Json => foreign::escaped(&text, form == Form::Json).into_owned(),
    };
    Cow::Owned([shown.as_bytes(), end].concat())
}

/// A writer whose lines are guarded. The formatter writes each event with one call.
#[derive(Debug, Clone)]
pub struct Guarded<W> {
    inner: W,
    form: Form,
}

impl<W> Guarded<W> {
    pub fn new(inner: W, form: Form) -> Self {
        Self { inner, form }
    }
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Guarded<W> {
    type Writer = Guarded<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Guarded { inner: self.inner.make_writer(), form: self.form }
    }
}

impl<W: io::Write> io::Write for Guarded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.inner.write_all(&guarded(line, self.form))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let line = "INFO disconnected: bye\n2026 INFO connected\r\u{202e}\n".as_bytes();
        let shown = guarded(line, Form::Text);
        assert_eq!(
            shown,
            r"INFO disconnected: bye\n2026 INFO connected\u{d}\u{202e}"
                .as_bytes()
                .iter()
                .chain(b"\n")
                .copied()
                .collect::<Vec<_>>()
        );
        assert_eq!(guarded(b"plain words\n", Form::Text), &b"plain words\n"[..]);
        assert_eq!(
            guarded("\x1b[32mINFO\x1b[0m a\nb\n".as_bytes(), Form::Coloured),
            &b"\x1b[32mINFO\x1b[0m a\\nb\n"[..]
        );
        assert_eq!(guarded("{\"a\":\"\u{202e}\"}\n".as_bytes(), Form::Json), &b"{\"a\":\"\\u202e\"}\n"[..]);
    }
}
