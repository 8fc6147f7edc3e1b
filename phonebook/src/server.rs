//! The phone book as a server that any program can hold: build, read the address, run, stop.
//!
//! Signals, flags and logging are the binary's; nothing here touches the process.

use crate::{clock::Clock, config::Config, desk::Desk, io::patience::Lines, routes, sweep::sweep};
use actix_web::{App, HttpServer, dev::Service, middleware, web};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet};

/// How long a stop waits for requests that are being answered.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);
/// For a request's head. Bodies have a time of their own.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// Silence after which an idle connection is closed: a lookup burst is over by then, the next heartbeat far off.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A bound socket and an empty book. Connections wait in the backlog until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    /// From the binding on, because requests are signed for those who wait in the backlog too.
    clock: Clock,
    stop: Handle,
}

/// Stops a [`Server`], from any thread, any number of times, before it runs as well as while it does.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Notify>);

impl Handle {
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

impl Server {
    /// Binds. Needs no runtime.
    pub fn build(config: Config) -> io::Result<Self> {
        let clock = Clock::start();
        let listener = TcpListener::bind(config.listen)?;
        let address = listener.local_addr()?;
        Ok(Self { config, listener, address, clock, stop: Handle::default() })
    }

    /// The bound address, with the port that was taken if it was 0.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    pub fn handle(&self) -> Handle {
        self.stop.clone()
    }

    /// Serves until [`Handle::stop`], then lets requests in progress finish, two seconds at most. Needs an actix system
    /// or a Tokio runtime; the workers are threads of their own, so end it with the handle and not by dropping it.
    pub async fn run(self) -> io::Result<()> {
        let desk = Arc::new(Desk::new(&self.config, self.clock));
        let lines = Arc::new(Lines::new());
        let server = listen(&self.config, self.listener, &desk, &lines)?;
        let stopper = server.handle();
        let mut chores = JoinSet::new();
        chores.spawn(sweep(Arc::clone(&desk), self.config.sweep_interval()));
        chores.spawn(lines.watch());
        chores.spawn({
            let desk = Arc::clone(&desk);
            async move { desk.live.watch().await }
        });
        let stopped = async {
            self.stop.0.notified().await;
            desk.live.stop();
            stopper.stop(true).await;
        };
        let mut server = std::pin::pin!(server);
        tokio::select! {
            result = &mut server => result,
            () = stopped => server.await,
        }
    }

    /// Runs on a thread of its own, for programs without an actix system.
    pub fn spawn(self) -> io::Result<Running> {
        let (address, stop) = (self.address, self.stop.clone());
        let thread = thread::Builder::new()
            .name("phonebook".to_owned())
            .spawn(move || actix_rt::System::new().block_on(self.run()))?;
        Ok(Running { address, stop, thread: Some(thread) })
    }
}

fn listen(
    config: &Config,
    listener: TcpListener,
    desk: &Arc<Desk>,
    lines: &Arc<Lines>,
) -> io::Result<actix_web::dev::Server> {
    let (compat, desk, lines) =
        (config.compat, web::Data::from(Arc::clone(desk)), web::Data::from(Arc::clone(lines)));
    let opened = lines.clone();
    let server = HttpServer::new(move || {
        let asked = lines.clone();
        App::new()
            .app_data(desk.clone())
            .app_data(lines.clone())
            .configure(routes::routes)
            .wrap(middleware::Condition::new(compat, middleware::from_fn(routes::cross_origin)))
            .wrap_fn(move |request, service| {
                asked.asked(&request);
                service.call(request)
            })
    })
    .on_connect(move |stream, data| opened.opened(stream, data))
    .workers(config.workers)
    .max_connections(config.max_connections.div_ceil(config.workers))
    .client_request_timeout(HEAD_TIME_MAX)
    .client_disconnect_timeout(Duration::from_secs(1))
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(STOP_TIME_MAX.as_secs())
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

/// A server on its own thread. Dropping it stops the server and waits for that.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: Handle,
    thread: Option<thread::JoinHandle<io::Result<()>>>,
}

impl Running {
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    pub fn handle(&self) -> Handle {
        self.stop.clone()
    }

    /// Stops, and tells how the server ended.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop.stop();
        self.thread.take().map_or(Ok(()), |thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the phone book's thread panicked")))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the phone book did not stop well");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn local() -> Config {
        Config { listen: (Ipv4Addr::LOCALHOST, 0).into(), workers: 1, ..Config::default() }
    }

    #[test]
    fn a_thread_of_its_own_gives_the_port_back() {
        let running = Server::build(local()).unwrap().spawn().unwrap();
        let listen = running.addr();
        running.stop().unwrap();
        Server::build(Config { listen, ..local() }).unwrap();
    }

    #[actix_web::test]
    async fn it_runs_in_an_actix_system_that_is_there() {
        let server = Server::build(local()).unwrap();
        let stop = server.handle();
        let running = actix_rt::spawn(server.run());
        stop.stop();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_runs_in_a_plain_tokio_runtime() {
        let server = Server::build(local()).unwrap();
        server.handle().stop();
        server.run().await.unwrap();
    }
}
