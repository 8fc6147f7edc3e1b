//! Output outside the log: the line that says that a program serves, and why it ends. An unread stream costs a moment,
//! a closed one nothing.

use crate::io;
use fyteclub_proto::foreign::escaped_lines;
use std::{error::Error, io::Write, sync::mpsc, thread, time::Duration};

/// How long a line may wait for its reader.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Writes a line to standard output. It may be written after this returned, and is dropped where nobody can read it.
pub fn say(line: &str) {
    write(line, io::stdout);
}

/// Writes a line to standard error, likewise.
pub fn complain(line: &str) {
    write(line, io::stderr);
}

fn write(line: &str, to: fn() -> std::io::Result<std::fs::File>) {
    // A path or a value may be somebody else's words.
    let line = format!("{}\n", escaped_lines(line));
    let (done, written) = mpsc::channel::<()>();
    // A blocked write cannot be cancelled, so it has a thread of its own.
    let writer = thread::Builder::new().name("speak".into()).spawn(move || {
        if let Ok(mut to) = to() {
            to.write_all(line.as_bytes()).ok();
        }
        drop(done);
    });
    if writer.is_ok() {
        written.recv_timeout(TIMEOUT).ok();
    }
}

/// Ends the process: its command line is wrong, or asks for help.
pub fn refuse(mut error: clap::Error) -> ! {
    if let Some(told) = fyteclub_typed::shown(&mut error, std::env::args_os()) {
        complain(&told);
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// An error with its causes, outermost first. A cause whose text is in the one before is skipped: many errors print
/// their source themselves.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| -> &(dyn Error + 'static) { cause })
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let denied = || Some(Box::new(Layer("Permission denied", None)));
        assert_eq!(
            causes(&Layer("cannot read x: Permission denied", denied())),
            "cannot read x: Permission denied"
        );
        assert_eq!(causes(&Layer("cannot read x", denied())), "cannot read x: Permission denied");
    }
}
