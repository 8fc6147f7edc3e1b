//! Writes the daemon's small files: each as a whole, on a thread that may block on the disk, so that the network's
//! thread never does. Other modules decide the content.
//!
//! A newer state of a file replaces one that still waits, and the older request gets the newer's answer. Files are
//! written in the order of their first requests. The thread ends when there is no work.

use super::{private, trouble::explain_kept};
use futures::{FutureExt, future::Shared};
use serde::Serialize;
use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io, mem,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread,
};
use tokio::sync::oneshot;

/// Why a state was not saved. The file has the state before it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", explain_kept(path, source))]
pub struct KeepError {
    pub path: PathBuf,
    pub source: Arc<io::Error>,
}

/// The disk, or a slow or broken one in tests. Called on a thread that may block, one call at a time.
pub trait Disk: Send + Sync + 'static {
    /// Replaces the whole file; on return the content survives a loss of power.
    ///
    /// # Errors
    /// The machine's. The file is unchanged.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()>;

    /// Removes the file, if it exists.
    ///
    /// # Errors
    /// The machine's.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// Files that only their owner may read.
struct Private;

impl Disk for Private {
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        private::write(path, content)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        private::remove(path)
    }
}

/// A handle; clones share everything.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    disk: Box<dyn Disk>,
    queue: Mutex<Queue>,
}

type Kept = Result<(), KeepError>;

#[derive(Default)]
struct Queue {
    order: VecDeque<PathBuf>,
    waiting: HashMap<PathBuf, Job>,
    /// Whether a thread runs; it checks the queue again before it ends.
    running: bool,
    flushes: Vec<oneshot::Sender<()>>,
}

struct Job {
    /// `None` removes the file.
    content: Option<Vec<u8>>,
    asked: Vec<oneshot::Sender<Kept>>,
}

/// Resolves when the state, or a newer one of the same file, is safe on the disk, or when the write failed. Dropping it
/// does not cancel the write.
#[must_use = "an answer that promises safety waits for it"]
#[derive(Clone)]
pub struct Keeping {
    path: PathBuf,
    kept: Shared<oneshot::Receiver<Kept>>,
}

impl Keeping {
    fn new(path: &Path, kept: oneshot::Receiver<Kept>) -> Self {
        Self { path: path.to_owned(), kept: kept.shared() }
    }
}

impl Future for Keeping {
    type Output = Kept;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Kept> {
        Pin::new(&mut self.kept).poll(context).map(|kept| {
            // Only if the thread panicked: the file's content is unknown.
            kept.unwrap_or_else(|_| Err(error(&self.path, io::Error::other("it was not written to its end"))))
        })
    }
}

fn error(path: &Path, source: io::Error) -> KeepError {
    KeepError { path: path.to_owned(), source: Arc::new(source) }
}

impl Default for Keeper {
    fn default() -> Self {
        Self::on(Private)
    }
}

impl Keeper {
    pub fn on(disk: impl Disk) -> Self {
        Self(Arc::new(Inner { disk: Box::new(disk), queue: Mutex::default() }))
    }

    /// Writes the file, readable by its owner only.
    pub fn write(&self, path: &Path, content: Vec<u8>) -> Keeping {
        self.keep(path, Some(content))
    }

    /// Like [`Keeper::write`], as JSON that a person can read.
    pub fn write_json(&self, path: &Path, value: &impl Serialize) -> Keeping {
        match serde_json::to_vec_pretty(value) {
            Ok(text) => self.write(path, text),
            Err(text) => {
                let (answer, kept) = oneshot::channel();
                answer.send(Err(error(path, text.into()))).ok();
                Keeping::new(path, kept)
            }
        }
    }

    /// Removes the file.
    pub fn remove(&self, path: &Path) -> Keeping {
        self.keep(path, None)
    }

    /// Resolves when no write waits or runs.
    pub fn flush(&self) -> impl Future<Output = ()> + use<> {
        let (done, flushed) = oneshot::channel();
        let mut queue = self.0.queue();
        if queue.running {
            queue.flushes.push(done);
        } else {
            done.send(()).ok();
        }
        async move { flushed.await.unwrap_or_default() }
    }

    fn keep(&self, path: &Path, content: Option<Vec<u8>>) -> Keeping {
        let (answer, kept) = oneshot::channel();
        let mut queue = self.0.queue();
        match queue.waiting.get_mut(path) {
            Some(job) => {
                job.content = content;
                job.asked.push(answer);
            }
            None => {
                queue.order.push_back(path.to_owned());
                queue.waiting.insert(path.to_owned(), Job { content, asked: vec![answer] });
            }
        }
        if !mem::replace(&mut queue.running, true) {
            drop(queue);
            let inner = self.0.clone();
            let thread = thread::Builder::new().name("keeper".into()).spawn(move || inner.work());
            if let Err(source) = thread {
                self.0.fail_all(&Arc::new(source));
            }
        }
        Keeping::new(path, kept)
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the queue is empty.
    fn work(&self) {
        while let Some((path, job)) = self.next() {
            let kept = match &job.content {
                Some(content) => self.disk.write(&path, content),
                None => self.disk.remove(&path),
            };
            let kept = kept.map_err(|source| error(&path, source));
            for asked in job.asked {
                // A requester that has left needs no answer.
                asked.send(kept.clone()).ok();
            }
        }
    }

    fn next(&self) -> Option<(PathBuf, Job)> {
        let mut queue = self.queue();
        while let Some(path) = queue.order.pop_front() {
            if let Some(job) = queue.waiting.remove(&path) {
                return Some((path, job));
            }
        }
        queue.running = false;
        for flush in queue.flushes.drain(..) {
            flush.send(()).ok();
        }
        None
    }

    /// No thread could be started: nothing is written, and every request gets the error.
    fn fail_all(&self, source: &Arc<io::Error>) {
        let mut queue = self.queue();
        queue.running = false;
        queue.order.clear();
        for (path, job) in mem::take(&mut queue.waiting) {
            for asked in job.asked {
                asked.send(Err(KeepError { path: path.clone(), source: source.clone() })).ok();
            }
        }
        queue.flushes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        time::Duration,
    };

    type Done = Vec<(PathBuf, Option<Vec<u8>>)>;

    /// Each write waits for the test to send its result.
    struct Slow {
        begun: Sender<PathBuf>,
        ends: Mutex<Receiver<io::Result<()>>>,
        done: Arc<Mutex<Done>>,
    }

    impl Slow {
        fn step(&self, path: &Path, content: Option<&[u8]>) -> io::Result<()> {
            self.begun.send(path.to_owned()).expect("the test receives");
            let end = self.ends.lock().expect("one writer").recv().expect("the test goes on");
            if end.is_ok() {
                self.done.lock().expect("done").push((path.to_owned(), content.map(<[u8]>::to_vec)));
            }
            end
        }
    }

    impl Disk for Slow {
        fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
            self.step(path, Some(content))
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.step(path, None)
        }
    }

    struct Rig {
        keeper: Keeper,
        begun: Receiver<PathBuf>,
        ends: Sender<io::Result<()>>,
        done: Arc<Mutex<Done>>,
    }

    impl Rig {
        fn new() -> Self {
            let ((begins, begun), (ends, end)) = (channel(), channel());
            let done = Arc::new(Mutex::default());
            let disk = Slow { begun: begins, ends: Mutex::new(end), done: Arc::clone(&done) };
            Self { keeper: Keeper::on(disk), begun, ends, done }
        }

        fn write(&self, name: &str, content: &str) -> Keeping {
            self.keeper.write(Path::new(name), content.into())
        }

        /// The file that is being written.
        fn begun(&self) -> String {
            let path = self.begun.recv_timeout(Duration::from_secs(10)).expect("a write begins");
            path.to_string_lossy().into_owned()
        }

        fn end(&self, end: io::Result<()>) {
            self.ends.send(end).expect("a writer waits");
        }
    }

    fn is_waiting(keeping: &mut Keeping) -> bool {
        keeping.now_or_never().is_none()
    }

    #[tokio::test]
    async fn newest_state_is_written_and_all_are_answered() {
        let rig = Rig::new();
        let mut first = rig.write("a", "1");
        assert_eq!(rig.begun(), "a");
        let mut second = rig.write("a", "2");
        let mut other = rig.write("b", "x");
        let mut third = rig.write("a", "3");
        for keeping in [&mut first, &mut second, &mut other, &mut third] {
            assert!(is_waiting(keeping), "nothing is written yet");
        }
        rig.end(Ok(()));
        first.await.expect("written");
        // A replaced state is safe only with the one that replaced it.
        assert_eq!(rig.begun(), "a");
        assert!(is_waiting(&mut second) && is_waiting(&mut third));
        rig.end(Ok(()));
        second.await.expect("written");
        third.await.expect("written");
        assert_eq!(rig.begun(), "b");
        rig.end(Ok(()));
        other.await.expect("written");
        let done = rig.done.lock().expect("done").clone();
        let expected = [("a", "1"), ("a", "3"), ("b", "x")];
        assert_eq!(done, expected.map(|(path, text)| (path.into(), Some(text.into()))));
    }

    #[tokio::test]
    async fn error_is_returned_to_its_requester() {
        let rig = Rig::new();
        let (lost, kept) = (rig.write("a", "1"), rig.write("b", "2"));
        rig.begun();
        let removed = rig.keeper.remove(Path::new("a"));
        rig.end(Err(io::ErrorKind::StorageFull.into()));
        let error = lost.await.expect_err("the disk is full");
        assert_eq!((error.path, error.source.kind()), ("a".into(), io::ErrorKind::StorageFull));
        rig.end(Ok(()));
        rig.end(Ok(()));
        kept.await.expect("the next one is written");
        removed.await.expect("and the file can be removed later");
        let done = rig.done.lock().expect("done").clone();
        assert_eq!(done, [("b".into(), Some(b"2".to_vec())), ("a".into(), None)]);
    }

    #[tokio::test]
    async fn flush_waits_for_writes_without_a_waiter() {
        let rig = Rig::new();
        rig.keeper.flush().await;
        drop(rig.write("a", "1"));
        drop(rig.write("b", "2"));
        let mut flush = Box::pin(rig.keeper.flush());
        rig.begun();
        assert!((&mut flush).now_or_never().is_none());
        rig.end(Ok(()));
        rig.end(Err(io::ErrorKind::Other.into()));
        flush.await;
        assert_eq!(rig.done.lock().expect("done").len(), 1);
        // The next write starts a new thread.
        let again = rig.write("a", "3");
        rig.end(Ok(()));
        again.await.expect("written");
    }

    #[tokio::test]
    async fn files_are_written_whole_and_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("state");
        let keeper = Keeper::default();
        keeper.write(&path, b"one".to_vec()).await.expect("written");
        assert_eq!(std::fs::read(&path).expect("there"), b"one");
        keeper.remove(&path).await.expect("removed");
        keeper.remove(&path).await.expect("nothing to remove");
        assert!(!path.exists());
        let missing = dir.path().join("no/folder");
        keeper.write(&missing, vec![]).await.expect_err("no such folder");
    }
}
