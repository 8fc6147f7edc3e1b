//! The phone book's own certificate: served, replaced while it runs, and never replaced by a broken one.

use crate::common::{DEADLINE, Phonebook, eventually, local};
use fyteclub_phonebook::{Config, Operator, Running, Server, StartError, TlsFiles};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
    version::TLS13,
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Instant,
};

/// A self-made certificate for `localhost`.
struct Pair {
    cert: String,
    key: String,
    der: CertificateDer<'static>,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Pair { cert: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
}

fn files(directory: &Path) -> TlsFiles {
    TlsFiles { cert: directory.join("cert.pem"), key: directory.join("key.pem") }
}

fn write(files: &TlsFiles, pair: &Pair) {
    fs::write(&files.cert, &pair.cert).unwrap();
    fs::write(&files.key, &pair.key).unwrap();
}

fn serve(files: &TlsFiles) -> Running {
    let operator = Operator::At(([127, 0, 0, 1], 0).into());
    Server::build(Config { tls: Some(files.clone()), operator, ..local() }).unwrap().spawn().unwrap()
}

/// A connection whose server proved to have `trusted`.
fn connect(addr: SocketAddr, trusted: &Pair) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    handshake(TcpStream::connect(addr)?, trusted)
}

fn handshake(tcp: TcpStream, trusted: &Pair) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tcp.set_read_timeout(Some(DEADLINE))?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

fn get(addr: SocketAddr, trusted: &Pair, path: &str) -> io::Result<String> {
    let mut tls = connect(addr, trusted)?;
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    tls.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    // Some servers end TLS without a close alert.
    tls.read_to_string(&mut text).ok();
    Ok(text)
}

#[test]
fn https_is_served_and_plain_http_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (files, pair) = (files(directory.path()), pair());
    write(&files, &pair);
    let running = serve(&files);
    let answer = get(running.addr(), &pair, "/api/health").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""status":"ok""#), "{answer}");

    let mut plain = Phonebook::at(running.addr()).connect();
    plain.write_all(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    plain.read_to_end(&mut bytes).ok();
    assert!(!bytes.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn silent_handshakes_do_not_block_others() {
    let directory = tempfile::tempdir().unwrap();
    let (files, pair) = (files(directory.path()), pair());
    write(&files, &pair);
    let config = Config { tls: Some(files), workers: 1, max_connections_per_address: Some(1000), ..local() };
    let phonebook = crate::common::serve(config);
    // More handshakes than a worker does at once; each has five seconds.
    let silent: Vec<_> = (0..300).map(|_| phonebook.connect()).collect();
    let began = Instant::now();
    let mut tls = handshake(phonebook.connect_from("127.0.0.2"), &pair).unwrap();
    tls.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    tls.read_to_string(&mut text).ok();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(began.elapsed().as_secs() < 4, "{:?}", began.elapsed());
    eventually("the others are refused", || phonebook.ledger("handshakes").1 == 300 - 64);
    drop(silent);
}

#[test]
fn new_certificate_is_served_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (files, old, new, newest) = (files(directory.path()), pair(), pair(), pair());
    write(&files, &old);
    let running = serve(&files);
    let mut kept = connect(running.addr(), &old).unwrap();

    write(&files, &new);
    running.handle().reload();
    eventually("the new pair is served", || get(running.addr(), &new, "/health").is_ok());
    get(running.addr(), &old, "/health").unwrap_err();
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    kept.read_to_string(&mut text).ok();
    assert!(text.starts_with("HTTP/1.1 200"), "who was connected stays so: {text}");

    // Each is read when signalled, so the next one shows that it was refused.
    for (cert, key) in
        [(&newest.cert, &new.key), (&String::new(), &new.key), (&new.cert, &"no key".to_owned())]
    {
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        running.handle().reload();
        for _ in 0..3 {
            get(running.addr(), &new, "/health").unwrap();
        }
    }
    write(&files, &newest);
    running.handle().reload();
    eventually("the newest pair is served", || get(running.addr(), &newest, "/health").is_ok());
}

#[test]
fn a_broken_pair_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let (files, one, other) = (files(directory.path()), pair(), pair());
    let start = || Server::build(Config { tls: Some(files.clone()), ..local() }).unwrap_err();
    assert!(start().to_string().contains("cert.pem"), "{}", start());
    write(&files, &Pair { key: other.key, ..one });
    let refused = start();
    assert!(
        matches!(refused, StartError::Tls(_)) && refused.to_string().contains("belong together"),
        "{refused}"
    );
    fs::write(&files.cert, "").unwrap();
    assert!(start().to_string().contains("no certificate"), "{}", start());
}

#[test]
fn unfinished_tls_handshakes_are_closed_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (files, pair) = (files(directory.path()), pair());
    write(&files, &pair);
    let running = serve(&files);
    let office = Phonebook::at(running.operator_addr().unwrap());
    let mut silent = Phonebook::at(running.addr()).connect();
    let mut slow = connect(running.addr(), &pair).unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    slow.flush().unwrap();

    eventually("the TLS connection has its place among the others", || {
        let status = office.get_as("localhost", "/status.json").json();
        status["connections"].as_u64() >= Some(1)
    });
    let start = Instant::now();
    let mut bytes = Vec::new();
    silent.read_to_end(&mut bytes).ok();
    assert!(bytes.is_empty() && start.elapsed() < DEADLINE, "the silent one is still there");
    slow.read_to_end(&mut bytes).ok();
    assert!(!bytes.starts_with(b"HTTP/1.1 2") && start.elapsed() < DEADLINE, "the slow one is still there");
    eventually("both places are free", || {
        let status = office.get_as("localhost", "/status.json").json();
        status["connections"].as_u64() == Some(0)
    });
    assert!(get(running.addr(), &pair, "/health").unwrap().starts_with("HTTP/1.1 200"));
}

#[test]
#[cfg(unix)]
fn sighup_has_the_certificate_read_again() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };
    let directory = tempfile::tempdir().unwrap();
    let (files, old, new) = (files(directory.path()), pair(), pair());
    write(&files, &old);
    let mut child = Command::new(env!("CARGO_BIN_EXE_fyteclub-phonebook"))
        .args(["--listen", "127.0.0.1:0", "--operator", "off", "--tls-cert"])
        .arg(&files.cert)
        .arg("--tls-key")
        .arg(&files.key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("listening on https://").unwrap().parse().unwrap();
    assert!(get(addr, &old, "/health").is_ok());
    write(&files, &new);
    // The same date: only the signal shows the change.
    let date = File::open(&files.cert).unwrap().metadata().unwrap().modified().unwrap();
    File::options().append(true).open(&files.key).unwrap().set_modified(date).unwrap();
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    let mut served = false;
    let start = Instant::now();
    while !served && start.elapsed() < DEADLINE {
        served = get(addr, &new, "/health").is_ok();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(served, "the new pair is not served");
}
