//! A phone book behind a proxy with that proxy's defaults: a player without UDP uses the relay through it.

use super::player::Pair;
use fyteclub_tests::{
    Phonebook, Process, Town, eventually, has_program,
    netlab::{Internet, Kind, SERVERS},
};
use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

const NGINX: &str = r#"
daemon off;
master_process off;
pid FOLDER/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    server {
        listen IP:80;
        location / {
            proxy_pass http://127.0.0.1:3000;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }
    }
}
"#;

/// With the timeouts of Debian's own file.
const HAPROXY: &str = r#"
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
frontend web
    bind IP:80
    default_backend phonebook
backend phonebook
    option forwardfor
    server phonebook 127.0.0.1:3000
"#;

const CADDY: &str = r#"
{
    admin off
    auto_https off
}
http://IP {
    reverse_proxy 127.0.0.1:3000
}
"#;

async fn relays_through(program: &str, package: &str, config: &str, args: &[&str]) {
    if !has_program(program, package) {
        return;
    }
    let town = Town::new().await;
    let Some(internet) = Internet::open(&town, &[Kind::Blocked, Kind::PortRestricted]).await else { return };
    // UDP passes no proxy of HTTP.
    let (ip, udp) = (SERVERS[0], format!("{}:3000", SERVERS[0]));
    let more = ["--udp-address", &udp, "--names", ip, "--trusted-proxies", "127.0.0.1"];
    let machine = internet.machine().clone();
    let book = Phonebook::another_at_with(&town, "behind", "0.0.0.0:3000", Some(&machine), &more).await;

    let folder = town.folder(program);
    let file = folder.join("config");
    let folder = folder.to_string_lossy();
    std::fs::write(&file, config.replace("IP", ip).replace("FOLDER", &folder)).expect("written");
    let mut command = machine.command(Path::new(program));
    command
        .args(args)
        .arg(&file)
        .env("HOME", &*folder)
        .env("XDG_DATA_HOME", &*folder)
        .env("XDG_CONFIG_HOME", &*folder);
    let _proxy = Process::spawn(program, command, town.path(&format!("{program}.stderr")));
    let at: SocketAddr = format!("{ip}:80").parse().expect("an address");
    eventually("the proxy listens", async || {
        machine.run(|| TcpStream::connect_timeout(&at, Duration::from_secs(5)).ok()).map(drop)
    })
    .await;

    let mut pair = Pair::meet_at(town, internet, book, &[format!("http://{ip}/")]).await;
    pair.owner.publishes_files(&pair.town, 3, 1_000_000).await;
    assert_eq!(pair.other.fetches(&pair.owner).await.expect("a look"), "relay");
    assert_eq!(pair.owner.path_to(&pair.other).await, "relay-tcp");
}

#[tokio::test]
async fn relay_works_through_nginx() {
    relays_through("nginx", "nginx-light", NGINX, &["-c"]).await;
}

#[tokio::test]
async fn relay_works_through_haproxy() {
    relays_through("haproxy", "haproxy", HAPROXY, &["-db", "-f"]).await;
}

#[tokio::test]
async fn relay_works_through_caddy() {
    relays_through("caddy", "caddy", CADDY, &["run", "--adapter", "caddyfile", "--config"]).await;
}
