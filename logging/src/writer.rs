//! Where a log goes, standard error or a file: lines go to a thread through a queue. Lines beyond the queue are dropped
//! and counted; a closed stream drops all and blocks nothing.

use crate::{
    daily::DailyFile,
    guard::{Form, Guarded},
    io as streams,
};
use fyteclub_proto::size;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};
use tracing_subscriber::fmt::MakeWriter;

/// Lines in the queue; each has 32 bytes from the start.
const LINES_WAITING: usize = 1024;
/// Bytes in them.
const BYTES_WAITING: usize = 256 * 1024;
/// How long the end of the program waits for queued lines.
const LAST_WORDS: Duration = Duration::from_millis(500);

enum Item {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Mark(mpsc::Sender<()>),
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    lost: AtomicU64,
    /// Nothing can be written any more.
    gone: AtomicBool,
}

/// Clones share the queue. The thread ends with the last of them.
#[derive(Debug, Clone)]
pub struct LogWriter {
    send: SyncSender<Item>,
    waiting: Arc<Waiting>,
}

impl LogWriter {
    /// Starts the thread for standard error.
    ///
    /// # Errors
    /// No thread can be started, or no handle is left.
    pub fn stderr() -> io::Result<Self> {
        Self::over("stderr", streams::stderr()?)
    }

    /// Starts the thread for a log folder.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn file(file: DailyFile) -> io::Result<Self> {
        Self::over("log file", file)
    }

    fn over(name: &'static str, to: impl Write + Send + 'static) -> io::Result<Self> {
        let (send, lines) = mpsc::sync_channel(LINES_WAITING);
        let waiting = Arc::new(Waiting::default());
        let writer = Self { send, waiting: waiting.clone() };
        thread::Builder::new().name(name.into()).spawn(move || write(name, lines, to, &waiting))?;
        Ok(writer)
    }

    /// As a writer of a log, in this form.
    pub fn guarded(&self, form: Form) -> Guarded<Self> {
        Guarded::new(self.clone(), form)
    }

    /// Queues bytes unchanged. Returns false if the queue is full.
    pub fn send(&self, line: Vec<u8>) -> bool {
        let (waiting, length) = (&self.waiting, line.len());
        if waiting.gone.load(Ordering::Relaxed) {
            return false;
        }
        let fits = waiting.bytes.fetch_add(length, Ordering::Relaxed) + length <= BYTES_WAITING;
        if fits && self.send.try_send(Item::Line(line)).is_ok() {
            return true;
        }
        waiting.bytes.fetch_sub(length, Ordering::Relaxed);
        waiting.lost.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Waits until queued lines are written, half a second at most.
    pub fn flush(&self) {
        let deadline = Instant::now() + LAST_WORDS;
        let (done, written) = mpsc::channel();
        let mut mark = Item::Mark(done);
        loop {
            match self.send.try_send(mark) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < deadline => mark = back,
                Err(_) => return,
            }
            thread::sleep(Duration::from_millis(5));
        }
        written.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
    }
}

fn write(name: &str, lines: Receiver<Item>, mut to: impl Write, waiting: &Waiting) {
    for item in lines {
        let line = match item {
            Item::Line(line) => line,
            // The waiting side may have given up.
            Item::Mark(done) => {
                done.send(()).ok();
                continue;
            }
        };
        waiting.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        let lost = waiting.lost.swap(0, Ordering::Relaxed);
        let told = match lost {
            0 => Ok(()),
            lost => to.write_all(
                format!("(missing here: {}, because {name} was too slow)\n", size::count(lost, "line"))
                    .as_bytes(),
            ),
        };
        // The reader has left, or there never was a stream: it does not come back.
        if told.and_then(|()| to.write_all(&line)).is_err() {
            waiting.gone.store(true, Ordering::Relaxed);
        }
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for LogWriter {
    /// One line a call. Never an error: nobody could be told.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A reader that reads nothing until it is released.
    struct Reader {
        let_go: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Released or dropped: then it reads everything.
            self.let_go.recv().ok();
            self.taken.lock().expect("unpoisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn unread_stream_loses_lines_and_blocks_nothing() {
        let (go, let_go) = mpsc::channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let stderr = LogWriter::over("stderr", Reader { let_go, taken: taken.clone() }).expect("a thread");
        let line = vec![b'x'; 1000];
        let sent = (0..5000).filter(|_| stderr.send(line.clone())).count();
        assert!(sent <= BYTES_WAITING / line.len() + 1, "{sent} lines are held");
        drop(go);
        stderr.flush();
        assert!(stderr.send(b"after\n".to_vec()));
        stderr.flush();
        let taken = String::from_utf8(taken.lock().expect("unpoisoned").clone()).expect("text");
        // The thread may start to write while lines are dropped already, and reports some of them then.
        let missing = taken.split("(missing here: ").skip(1).filter_map(|rest| rest.split_once(" line"));
        let missing: usize = missing.map(|(count, _)| count.parse::<usize>().expect("a number")).sum();
        assert_eq!(missing, 5000 - sent);
        assert!(taken.ends_with("after\n"));
    }

    #[test]
    fn a_stream_that_is_gone_takes_nothing() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let stderr = LogWriter::over("stderr", Gone).expect("a thread");
        assert!(stderr.send(b"one\n".to_vec()));
        stderr.flush();
        assert!(!stderr.send(b"two\n".to_vec()));
    }
}
