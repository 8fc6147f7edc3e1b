//! HTTPS as usually set up: Debian's nginx with `sendfile` and TLS 1.3, and one curl that keeps its connections. curl
//! hashes nothing and checks no permission.
//!
//! It uses [`PARALLEL`] connections at once: one was slower by a quarter for large and by 40 % for small files, eight
//! no faster.

use super::{
    Contestant, Run, Set,
    common::{
        town::{self, Process, Town},
        usage::{self, Meter, mib},
    },
};
use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PARALLEL: usize = 4;
const MISSING: &str = "it is not installed: apt-get install nginx curl";

struct Https {
    nginx: Child,
    dir: PathBuf,
    url: String,
    names: Vec<String>,
    bytes: u64,
}

pub(crate) fn start<'a>(_: &'a Town, dir: &Path, set: &Set) -> anyhow::Result<Box<dyn Contestant + 'a>> {
    let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
    let nginx = nginx.context(MISSING)?;
    Command::new("curl").arg("--version").stdout(Stdio::null()).status().context(MISSING)?;
    let dir = dir.join("https");
    fs::create_dir_all(&dir)?;
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(dir.join("cert.pem"), pem("CERTIFICATE", certificate.cert.der()))?;
    fs::write(dir.join("key.pem"), pem("PRIVATE KEY", &certificate.signing_key.serialize_der()))?;
    let port = free_port()?;
    fs::write(dir.join("nginx.conf"), configuration(&dir, &set.files(), port))?;
    let child = Command::new(nginx)
        .arg("-p")
        .arg(&dir)
        .arg("-c")
        .arg(dir.join("nginx.conf"))
        .stderr(Stdio::null())
        .spawn()?;
    let names = (0..set.sizes.len()).map(|number| format!("{number:05}.tex")).collect();
    let url = format!("https://localhost:{port}");
    let mut https = Https { nginx: child, dir, url, names, bytes: set.bytes() };
    https.answers()?;
    Ok(Box::new(https))
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: String = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect();
    format!("-----BEGIN {what}-----\n{lines}-----END {what}-----\n")
}

/// Free a moment ago: neither nginx nor Syncthing reports its port.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn configuration(dir: &Path, root: &Path, port: u16) -> String {
    let (dir, root) = (dir.display(), root.display());
    format!(
        "daemon off; worker_processes auto; pid {dir}/nginx.pid; error_log {dir}/error.log error; user root;
events {{ worker_connections 768; }}
http {{
  sendfile on; tcp_nopush on; types_hash_max_size 2048; default_type application/octet-stream; access_log off;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir};
  scgi_temp_path {dir}; keepalive_requests 100000;
  ssl_protocols TLSv1.3; ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
  server {{ listen 127.0.0.1:{port} ssl; root {root}; }}
}}
"
    )
}

impl Https {
    fn answers(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let first = format!("{}/{}", self.url, self.names.first().map_or("", String::as_str));
            let status =
                self.curl().args(["--head", &first]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            if status.success() {
                return Ok(());
            }
            anyhow::ensure!(
                self.nginx.try_wait()?.is_none(),
                "nginx ended: see {}/error.log",
                self.dir.display()
            );
            anyhow::ensure!(began.elapsed() < Duration::from_secs(10), "nginx does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--tlsv1.3", "--http1.1", "--cacert"]);
        command.arg(self.dir.join("cert.pem"));
        command.args(["--parallel", "--parallel-max", &PARALLEL.to_string(), "--no-progress-meter"]);
        command
    }

    /// curl's configuration: every file, and the second time only if it is newer.
    fn list(&self, to: &Path, again: bool) -> anyhow::Result<PathBuf> {
        let mut list = String::new();
        for (number, name) in self.names.iter().enumerate() {
            let to = to.join(name);
            if again {
                // Options belong to the URLs before the next `next`, these too.
                let ca = self.dir.join("cert.pem");
                let options = format!("next\nsilent\nfail\nhttp1.1\ntlsv1.3\ncacert = {ca:?}");
                writeln!(list, "{}\ntime-cond = {to:?}", if number > 0 { &options } else { "" })?;
            }
            writeln!(list, "url = \"{}/{name}\"\noutput = {to:?}\nremote-time", self.url)?;
        }
        let path = self.dir.join("list");
        fs::write(&path, list)?;
        Ok(path)
    }

    /// Runs curl; returns seconds, CPU seconds and peak MiB.
    fn run(&self, list: &Path) -> anyhow::Result<(f64, f64, f64)> {
        let began = Instant::now();
        let mut child = self.curl().arg("--config").arg(list).spawn()?;
        let pid = child.id();
        // An exited process has no memory figures: sample it while it runs.
        let watch = thread::spawn(move || {
            let mut peak = None;
            while let Some(now) = usage::peak_rss(pid) {
                peak = peak.max(Some(now));
                thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        let cpu = usage::cpu_at_end(pid)?;
        let wall = began.elapsed().as_secs_f64();
        let status = child.wait()?;
        anyhow::ensure!(status.success(), "curl: {status}");
        Ok((wall, cpu, mib(watch.join().unwrap_or_default())))
    }
}

impl Contestant for Https {
    fn name(&self) -> &'static str {
        "nginx + curl, TLS 1.3"
    }

    fn fetch(&mut self, round: usize) -> anyhow::Result<Run> {
        let to = self.dir.join(format!("receiver-{round}"));
        fs::create_dir_all(&to)?;
        let list = self.list(&to, false)?;
        let workers = Process::family(self.nginx.id());
        let meter = Meter::start(workers);
        let (wall, cpu, peak) = self.run(&list)?;
        let cpu = cpu + meter.cpu().iter().sum::<f64>();
        let peaks = [meter.peaks().iter().sum(), peak];
        let came: u64 = fs::read_dir(&to)?.map(|e| Ok(e?.metadata()?.len())).sum::<std::io::Result<u64>>()?;
        anyhow::ensure!(came == self.bytes, "{came} bytes came");
        let list = self.list(&to, true)?;
        let again = self.run(&list)?.0;
        town::clear(&to);
        Ok(Run { wall, cpu, peaks, again })
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        // SIGTERM makes the master end its workers; SIGKILL would orphan them.
        Command::new("kill").arg(self.nginx.id().to_string()).status().ok();
        self.nginx.wait().ok();
    }
}
