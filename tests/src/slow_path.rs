//! A slow path to a daemon: a forwarder of datagrams with a limited rate to the dialler.

use fyteclub_proto::number;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet, time::Instant};

/// Forwards for one client, in order and without loss, until it is dropped.
pub struct SlowPath {
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl SlowPath {
    /// `rate` is in bytes a second, from `server` to the client; the other direction is unlimited.
    pub async fn to(server: SocketAddr, rate: f64) -> Self {
        let socket = || async { Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a socket")) };
        let (near, far) = (socket().await, socket().await);
        let addr = near.local_addr().expect("an address");
        let client = Arc::new(Mutex::new(None::<SocketAddr>));
        let (queue, mut queued) = mpsc::unbounded_channel::<Vec<u8>>();
        let mut tasks = JoinSet::new();
        {
            let (near, far, client) = (near.clone(), far.clone(), client.clone());
            tasks.spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok((len, from)) = near.recv_from(&mut buffer).await {
                    *client.lock().expect("no panic") = Some(from);
                    far.send_to(&buffer[..len], server).await.expect("forwarded");
                }
            });
        }
        tasks.spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((len, _)) = far.recv_from(&mut buffer).await {
                queue.send(buffer[..len].to_vec()).ok();
            }
        });
        tasks.spawn(async move {
            let mut due = Instant::now();
            while let Some(datagram) = queued.recv().await {
                due = due.max(Instant::now())
                    + Duration::from_secs_f64(number::f64_of(number::u64_of(datagram.len())) / rate);
                tokio::time::sleep_until(due).await;
                let to = *client.lock().expect("no panic");
                let to = to.expect("who is answered has sent something");
                near.send_to(&datagram, to).await.expect("forwarded");
            }
        });
        Self { addr, _tasks: tasks }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
