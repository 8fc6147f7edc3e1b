//! A home router: a machine of one network that masquerades into another, with a real `miniupnpd`.

use crate::{Lan, Machine, Process, Town, eventually, skipped};
use std::{
    fs,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The protocols of a router.
#[derive(Debug, Clone, Copy)]
pub struct Speaks {
    pub upnp: bool,
    pub nat_pmp: bool,
    pub pcp: bool,
}

impl Speaks {
    pub const ALL: Self = Self { upnp: true, nat_pmp: true, pcp: true };
    pub const NOTHING: Self = Self { upnp: false, nat_pmp: false, pcp: false };
}

/// Its inside interface is `eth0`, its outside one `wan`. From outside it forwards only answers and mapped ports.
pub struct Router {
    machine: Machine,
    speaks: Speaks,
    folder: PathBuf,
    starts: u32,
    started: Instant,
    process: Option<Process>,
}

/// A router counts its epoch in seconds, and clocks may differ by two: a restart earlier than that cannot be noticed.
const AGE: Duration = Duration::from_secs(5);

const RULES: &str = r#"
table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain input {
        type filter hook input priority 0
        iifname "wan" ct state established,related accept
        iifname "wan" drop
    }
    chain forward {
        type filter hook forward priority 0; policy drop
        ct state established,related accept
        iifname "eth0" oifname "wan" accept
        jump miniupnpd
    }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; oifname "wan" masquerade; }
}
"#;

impl Router {
    /// Makes the machine a router between its network and `outer`, with the addresses `inside` and `outside`, each with a
    /// prefix length. `None` with a message if a program is missing.
    ///
    /// # Panics One is missing and `CI` is set; or the system refuses.
    pub async fn open(
        town: &Town,
        machine: &Machine,
        inside: &str,
        outer: &Lan,
        outside: &str,
        speaks: Speaks,
    ) -> Option<Self> {
        if !Self::is_possible() {
            return None;
        }
        assert!(outer.joined_by(machine, "wan"), "the router is in the outer network");
        machine.add(inside);
        machine.add_to("wan", outside);
        machine.shell("echo 1 >/proc/sys/net/ipv4/ip_forward");
        Some(Self::serve(town, machine, outside, speaks).await)
    }

    /// Whether its programs are there; says so if not.
    ///
    /// # Panics One is missing and `CI` is set.
    pub(crate) fn is_possible() -> bool {
        [("nft", "nftables"), ("miniupnpd", "miniupnpd-nftables")]
            .into_iter()
            .all(|(program, package)| has_program(program, package))
    }

    /// The same on a machine that forwards between its `eth0` and its `wan` already; `name` is the router's alone.
    pub(crate) async fn serve(town: &Town, machine: &Machine, name: &str, speaks: Speaks) -> Self {
        let folder = town.folder(&format!("router-{}", name.replace('/', "-")));
        let mut router = Self {
            machine: machine.clone(),
            speaks,
            folder,
            starts: 0,
            started: Instant::now(),
            process: None,
        };
        router.load(RULES);
        // miniupnpd has one switch for both protocols; the first byte of a packet is the version.
        for version in [(!speaks.nat_pmp).then_some(0), (!speaks.pcp).then_some(2)].into_iter().flatten() {
            let drop = format!("udp dport 5351 @th,64,8 {version} drop");
            router.load(&format!("insert rule inet filter input iifname \"eth0\" {drop}\n"));
        }
        router.start().await;
        router
    }

    fn load(&self, rules: &str) {
        let path = self.folder.join("rules.nft");
        fs::write(&path, rules).expect("written");
        self.machine.shell(&format!("nft -f {}", path.display()));
    }

    async fn start(&mut self) {
        let Speaks { upnp, nat_pmp, pcp } = self.speaks;
        if !(upnp || nat_pmp || pcp) {
            return;
        }
        let word = |on: bool| if on { "yes" } else { "no" };
        let port_5351 = nat_pmp || pcp;
        let config = format!(
            "ext_ifname=wan\nlistening_ip=eth0\nsecure_mode=yes\nhttp_port=0\nuuid=00000000-0000-4000-8000-000000000001\nenable_upnp={}\nenable_natpmp={}\nallow 1024-65535 0.0.0.0/0 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n",
            word(upnp),
            word(port_5351)
        );
        let path = |name: &str| self.folder.join(name);
        fs::write(path("config"), config).expect("written");
        // A killed one leaves its number there, and then the next one does not start.
        fs::remove_file(path("pid")).ok();
        self.starts += 1;
        let mut command = self.machine.command(Path::new("miniupnpd"));
        command.arg("-d").arg("-f").arg(path("config")).arg("-P").arg(path("pid"));
        let log = path(&format!("log-{}", self.starts));
        let process = Process::spawn("the router", command, log);
        let ready = if port_5351 { "Listening for NAT-PMP/PCP traffic" } else { "HTTP listening on port" };
        eventually("the router serves", async || process.log().contains(ready).then_some(())).await;
        (self.process, self.started) = (Some(process), Instant::now());
    }

    /// Kills it, removes all mappings, and starts it again, as after a power cut.
    pub async fn restart(&mut self) {
        eventually("the router has an epoch", async || (self.started.elapsed() > AGE).then_some(())).await;
        self.process = None;
        for chain in ["miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"] {
            self.load(&format!("flush chain inet filter {chain}\n"));
        }
        assert!(self.forwards().is_empty());
        self.start().await;
    }

    /// Each forwarded outside port with its inside address.
    ///
    /// # Panics The system refuses.
    pub fn forwards(&self) -> Vec<(u16, SocketAddrV4)> {
        let mut nft = self.machine.command(Path::new("nft"));
        let listed = nft.args(["list", "chain", "inet", "filter", "prerouting_miniupnpd"]).output();
        let text = String::from_utf8_lossy(&listed.expect("nft runs").stdout).into_owned();
        let rule = |line: &str| {
            let (port, to) = line.split_once("dport ")?.1.split_once(" dnat ip to ")?;
            Some((port.parse().ok()?, to.trim().parse().ok()?))
        };
        text.lines().filter_map(rule).collect()
    }
}

/// Whether a program of this Debian package is there; says so if not.
///
/// # Panics It is missing and `CI` is set.
pub fn has_program(program: &str, package: &str) -> bool {
    if is_there(program) {
        return true;
    }
    let why = format!("{program} is missing: it is in Debian's {package}");
    assert!(std::env::var_os("CI").is_none(), "must not be skipped where CI is set: {why}");
    skipped(&why);
    false
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
