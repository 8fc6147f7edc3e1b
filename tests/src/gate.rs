//! A proxy in front of a phone book: passes everything, or no WebSocket, or nothing without an answer.

use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    Everything,
    /// As a proxy without upgrades: it answers 400.
    PlainHttp,
    /// Accepts connections and drops their bytes.
    Nothing,
}

/// Closed with all its connections when it is dropped.
pub struct Gate {
    addr: String,
    passes: Arc<watch::Sender<Passes>>,
    task: AbortHandle,
}

impl Gate {
    /// Before the phone book at `addr`, `IP:PORT`.
    pub async fn before(addr: &str, passes: Passes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (there, passes) = (addr.to_owned(), Arc::new(watch::Sender::new(passes)));
        let here = listener.local_addr().expect("an address").to_string();
        let kept = passes.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                open.spawn(pass(client, there.clone(), kept.subscribe()));
            }
        });
        Self { addr: here, passes, task: task.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn pass(&self, passes: Passes) {
        self.passes.send_replace(passes);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, there: String, passes: watch::Receiver<Passes>) {
    let Ok(server) = TcpStream::connect(there).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
    tokio::select! {
        () = requests(from_client, to_server, to_client.clone(), passes.clone()) => {}
        () = answers(from_server, to_client, passes) => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    mut passes: watch::Receiver<Passes>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let now = *passes.wait_for(|passes| *passes != Passes::Nothing).await.expect("the gate stands");
        let head = String::from_utf8_lossy(&buffer[..read]).to_lowercase();
        if now == Passes::PlainHttp && head.contains("upgrade: websocket") {
            let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            back.lock().await.write_all(refusal).await.ok();
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    to: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    mut passes: watch::Receiver<Passes>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        passes.wait_for(|passes| *passes != Passes::Nothing).await.expect("the gate stands");
        if to.lock().await.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
