//! The phone book as a server for any program. Signals, flags and logging are the binary's.

use crate::{
    admission,
    app_state::AppState,
    clock::Clock,
    config::Config,
    datagrams::{self, Ports},
    io::{accept, connections::Connections},
    maintenance::{sweep, tidy},
    operator,
    preflight::{self, StartError},
    routes,
    shared::supervise,
    tls::Certificate,
};
use actix_http::{HttpService, TlsAcceptorConfig};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, map_config};
use actix_web::{App, dev::AppConfig, middleware, web};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet};

/// How long a stop waits for requests in progress.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// TLS handshakes in progress per worker: more than several networks' shares.
const HANDSHAKES_MAX: usize = 1024;
/// For a request's head; bodies have their own limit.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest silence of a connection: longer than a burst of lookups, shorter than a heartbeat.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A bound socket. Connections wait in the backlog until [`Server::run`].
#[derive(Debug)]
pub struct Server {
    config: Config,
    clock: Clock,
    listener: TcpListener,
    address: SocketAddr,
    ports: Ports,
    /// The operator's listener.
    operator: Option<(TcpListener, SocketAddr)>,
    certificate: Option<Arc<Certificate>>,
    stop: Handle,
}

/// Stops a [`Server`] from any thread, before or while it runs.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    stop: Arc<Notify>,
    reload: Arc<Notify>,
}

impl Handle {
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Reads the certificate again now, as the server does when its files change.
    pub fn reload(&self) {
        self.reload.notify_one();
    }
}

impl Server {
    /// Reads the certificate and binds. Needs no runtime.
    ///
    /// # Errors
    /// An address cannot be bound or is not allowed, or the certificate is unusable.
    pub fn build(config: Config) -> Result<Self, StartError> {
        // Before binding: signatures must be newer than the start.
        let clock = Clock::start();
        let certificate = preflight::certificate(&config)?;
        let (listener, address, ports) = datagrams::listen(&config)?;
        let operator = match preflight::operator(&config)? {
            Some(listener) => preflight::bound(&listener).map(|address| Some((listener, address)))?,
            None => None,
        };
        let stop = Handle::default();
        Ok(Self { config, clock, listener, address, ports, operator, certificate, stop })
    }

    /// The bound address, with the real port for port 0.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The first UDP port; `None` if none is served.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.ports.addr()
    }

    /// `None` without an operator's listener.
    pub fn operator_addr(&self) -> Option<SocketAddr> {
        self.operator.as_ref().map(|(_, address)| *address)
    }

    /// Whether it serves HTTPS.
    pub fn is_encrypted(&self) -> bool {
        self.certificate.is_some()
    }

    pub fn handle(&self) -> Handle {
        self.stop.clone()
    }

    /// Serves until [`Handle::stop`], then waits up to two seconds for requests in progress. Needs an actix system or
    /// a Tokio runtime. Dropping the future does not stop the workers, which are threads.
    ///
    /// # Errors
    /// The audit log or a listener could not start, or the server ended on its own.
    pub async fn run(self) -> io::Result<()> {
        let app = Arc::new(AppState::new(&self.config, self.clock, &self.ports)?);
        let connections = Arc::new(Connections::new(&app.accounts, &app.trusted_proxies));
        let server = listen(&self.config, self.listener, self.certificate.as_ref(), &app, &connections)?;
        let stopper = server.handle();
        let _datagrams = datagrams::Server::open(self.ports, Arc::clone(&app))?;
        let mut chores = JoinSet::new();
        chores.spawn(sweep(Arc::clone(&app), self.config.sweep_interval()));
        chores.spawn(tidy(Arc::clone(&app)));
        chores.spawn(supervise(Arc::clone(&app)));
        chores.spawn(Arc::clone(&connections).watch());
        if let Some(certificate) = self.certificate {
            chores.spawn(certificate.watch(Arc::clone(&self.stop.reload)));
        }
        let operator = match self.operator {
            Some((listener, _)) => {
                let operator = operator::listen(listener, &app, &connections, self.config.operator_anywhere)?;
                let stopper = operator.handle();
                // The task ends with the chores; its threads end by the handle.
                chores.spawn(async { drop(operator.await) });
                Some(stopper)
            }
            None => None,
        };
        chores.spawn({
            let app = Arc::clone(&app);
            async move { app.live.watch().await }
        });
        let stopped = async {
            self.stop.stop.notified().await;
            app.live.stop();
            if let Some(hub) = &app.live.hub {
                hub.stop();
            }
            if let Some(operator) = operator {
                operator.stop(false).await;
            }
            stopper.stop(true).await;
        };
        let mut server = std::pin::pin!(server);
        let result = tokio::select! {
            result = &mut server => result,
            () = stopped => server.await,
        };
        if let Some(audit) = &app.audit {
            audit.close();
        }
        result
    }

    /// Runs on its own thread.
    pub fn spawn(self) -> io::Result<Running> {
        let (address, operator, stop) = (self.address, self.operator_addr(), self.stop.clone());
        let udp = self.udp_addr();
        let thread = thread::Builder::new()
            .name("phonebook".to_owned())
            .spawn(move || actix_rt::System::new().block_on(self.run()))?;
        Ok(Running { address, udp, operator, stop, thread: Some(thread) })
    }
}

fn listen(
    config: &Config,
    listener: TcpListener,
    certificate: Option<&Arc<Certificate>>,
    app: &Arc<AppState>,
    connections: &Arc<Connections>,
) -> io::Result<actix_web::dev::Server> {
    let compat = config.compat;
    let (app, known) = (web::Data::from(Arc::clone(app)), web::Data::from(Arc::clone(connections)));
    let service = move || {
        let (asked, answered, entered) = (known.clone(), known.clone(), app.clone());
        let service = App::new()
            .app_data(app.clone())
            .app_data(known.clone())
            .default_service(web::to(routes::serve))
            .wrap_fn(move |request, service| {
                admission::admitted(entered.clone(), answered.clone(), request, service)
            })
            .wrap(middleware::Condition::new(compat, middleware::from_fn(routes::compat::cross_origin)))
            .wrap_fn(move |request, service| {
                asked.head_received(&request);
                actix_web::dev::Service::call(service, request)
            });
        let service = service.into_factory().map_err(|error: actix_web::Error| error.error_response());
        map_config(service, |()| AppConfig::default())
    };
    actix_tls::accept::max_concurrent_tls_connect(HANDSHAKES_MAX);
    let server = actix_web::dev::Server::build()
        .workers(config.workers)
        .max_concurrent_connections(config.max_connections.div_ceil(config.workers))
        .shutdown_timeout(STOP_TIME_MAX.as_secs())
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    let connections = Arc::clone(connections);
    let certificate = certificate.map(|certificate| certificate.server()).transpose();
    let certificate = certificate.map_err(io::Error::from)?;
    macro_rules! http {
        () => {{
            let stopping = stopping.clone();
            HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIME_MAX)
                .client_disconnect_timeout(Duration::from_secs(1))
                .on_connect_ext(accept::on_connect)
                .finish(service())
        }};
    }
    let server = match certificate {
        Some(certificate) => server.listen("phonebook", listener, move || {
            let tls = TlsAcceptorConfig::default().handshake_timeout(HANDSHAKE_TIME_MAX);
            let http = http!().rustls_0_23_with_config(certificate.clone(), tls);
            accept::accepting(Arc::clone(&connections), true, http)
        })?,
        None => server.listen("phonebook", listener, move || {
            accept::accepting(Arc::clone(&connections), false, http!().tcp())
        })?,
    };
    Ok(server.run())
}

/// A server on its own thread. Dropping it stops the server and joins the thread.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    udp: Option<SocketAddr>,
    operator: Option<SocketAddr>,
    stop: Handle,
    thread: Option<thread::JoinHandle<io::Result<()>>>,
}

impl Running {
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// As [`Server::udp_addr`].
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.udp
    }

    pub fn operator_addr(&self) -> Option<SocketAddr> {
        self.operator
    }

    pub fn handle(&self) -> Handle {
        self.stop.clone()
    }

    /// Stops, and returns how the server ended.
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
            tracing::warn!(%error, "the phone book did not stop cleanly");
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

    #[test]
    fn a_reload_without_a_certificate_changes_nothing() {
        let server = Server::build(local()).unwrap();
        assert!(!server.is_encrypted() && server.operator_addr().is_none());
        let running = server.spawn().unwrap();
        running.handle().reload();
        std::net::TcpStream::connect(running.addr()).unwrap();
        running.stop().unwrap();
    }

    #[test]
    fn a_dropped_server_stops_and_gives_the_port_back() {
        let operator = crate::config::Operator::At((Ipv4Addr::LOCALHOST, 0).into());
        let running = Server::build(Config { operator, ..local() }).unwrap().spawn().unwrap();
        let (listen, page) = (running.addr(), running.operator_addr().unwrap());
        std::net::TcpStream::connect(page).unwrap();
        drop(running);
        Server::build(Config { listen, ..local() }).unwrap();
    }
}
