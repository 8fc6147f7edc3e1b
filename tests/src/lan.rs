//! A local network of the story's own: network namespaces on a bridge, removed with the story.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// Prefix of the namespaces' names; the process's number follows.
const PREFIX: &str = "fclan";

pub struct Lan {
    /// The bridge's namespace.
    hub: String,
    machines: Vec<Machine>,
}

/// One machine of the network: a namespace with `lo` and `eth0`.
#[derive(Clone)]
pub struct Machine {
    namespace: String,
}

impl Lan {
    /// So many machines, without addresses; without IPv6 if `v6` is false. `None` with a message where namespaces are
    /// not possible.
    ///
    /// # Panics They are not possible and `CI` is set: there no story may be skipped.
    pub fn open(machines: usize, v6: bool) -> Option<Self> {
        let name = names();
        let machines = (0..machines).map(|n| Machine { namespace: name(&n.to_string()) }).collect();
        // From here on a failure removes the namespaces.
        let lan = Self { hub: name("hub"), machines };
        if lan.build(v6) {
            return Some(lan);
        }
        impossible();
        None
    }

    fn build(&self, v6: bool) -> bool {
        let hub = self.hub.as_str();
        let mut built = ip(&["netns", "add", hub])
            && ip(&["-n", hub, "link", "add", "br0", "type", "bridge"])
            && ip(&["-n", hub, "link", "set", "br0", "up"]);
        for (n, machine) in self.machines.iter().enumerate() {
            let (space, port) = (machine.namespace.as_str(), format!("port{n}"));
            let off = "for c in all default; do echo 1 >/proc/sys/net/ipv6/conf/$c/disable_ipv6; done";
            built = built
                && ip(&["netns", "add", space])
                && (v6 || run(machine.command(Path::new("sh")).args(["-c", off])))
                && ip(&[
                    "-n", hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", space,
                ])
                && ip(&["-n", hub, "link", "set", &port, "master", "br0", "up"])
                && ip(&["-n", space, "link", "set", "lo", "up"])
                && ip(&["-n", space, "link", "set", "eth0", "up"]);
        }
        built
    }

    pub fn machine(&self, n: usize) -> &Machine {
        &self.machines[n]
    }

    /// Connects a machine of another network to this one too, by an interface with this name, without an address.
    pub(crate) fn joined_by(&self, machine: &Machine, interface: &str) -> bool {
        let (hub, space) = (self.hub.as_str(), machine.namespace.as_str());
        // A namespace's name ends in two numbers, which no other machine has.
        let port: String = space.chars().rev().take(12).filter(char::is_ascii_alphanumeric).collect();
        ip(&["-n", hub, "link", "add", &port, "type", "veth", "peer", "name", interface, "netns", space])
            && ip(&["-n", hub, "link", "set", &port, "master", "br0", "up"])
            && ip(&["-n", space, "link", "set", interface, "up"])
    }
}

impl Machine {
    /// A new namespace, for [`Machine::delete`] to remove; `None`: not possible.
    #[cfg(target_os = "linux")]
    pub(crate) fn new(namespace: String) -> Option<Self> {
        ip(&["netns", "add", &namespace]).then_some(Self { namespace })
    }

    pub(crate) fn delete(&self) {
        ip(&["netns", "delete", &self.namespace]);
        std::fs::remove_dir_all(self.settings()).ok();
    }

    /// Connects two machines, each by an interface of this name.
    ///
    /// # Panics The system refuses.
    #[cfg(target_os = "linux")]
    pub(crate) fn connect(&self, interface: &str, other: &Self, its: &str) {
        let (here, there) = (self.namespace.as_str(), other.namespace.as_str());
        let link =
            ["link", "add", interface, "netns", here, "type", "veth", "peer", "name", its, "netns", there];
        assert!(ip(&link), "{here} is connected to {there}");
    }

    /// `program` on this machine.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// # Panics The system refuses.
    pub fn add(&self, address: &str) {
        self.add_to("eth0", address);
    }

    /// Runs a shell's line here.
    ///
    /// # Panics It fails.
    pub(crate) fn shell(&self, line: &str) {
        assert!(run(self.command(Path::new("sh")).args(["-ec", line])), "{line}");
    }

    /// Counts what leaves from here to these addresses from now on, each alone.
    ///
    /// # Panics The system refuses.
    pub fn count_to(&self, addresses: &[&str]) {
        let rules: String = addresses.iter().map(|address| format!("{address} counter;")).collect();
        self.shell(&format!(
            "nft 'table inet counts {{ chain out {{ type filter hook output priority 0; {rules} }}; }}'"
        ));
    }

    /// Counts what arrives here from this address from now on, whether it is forwarded or not.
    ///
    /// # Panics The system refuses.
    pub fn count_from(&self, address: &str) {
        let rule = format!("ip saddr {address} counter");
        self.shell(&format!(
            "nft 'table inet counts {{ chain in {{ type filter hook prerouting priority -300; {rule}; }}; }}'"
        ));
    }

    /// What [`Machine::count_to`] or [`Machine::count_from`] counted, in its order.
    ///
    /// # Panics The system refuses.
    pub fn counts(&self) -> Vec<u64> {
        let mut nft = self.command(Path::new("nft"));
        let listed = nft.args(["list", "table", "inet", "counts"]).output().expect("nft runs");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let count = |line: &str| line.split_once("counter packets ")?.1.split(' ').next()?.parse().ok();
        text.lines().filter_map(count).collect()
    }

    /// # Panics The system refuses.
    pub(crate) fn add_to(&self, interface: &str, address: &str) {
        let mut args = vec!["-n", &self.namespace, "addr", "add", address, "dev", interface];
        // Duplicate address detection takes a second, and finds nothing.
        args.extend(address.contains(':').then_some("nodad"));
        assert!(ip(&args), "{address} is added");
    }

    /// # Panics The system refuses.
    pub fn remove(&self, address: &str) {
        assert!(ip(&["-n", &self.namespace, "addr", "del", address, "dev", "eth0"]), "{address} is removed");
    }

    /// Writes the machine's file of host names.
    ///
    /// # Panics The system refuses.
    pub fn names(&self, hosts: &str) {
        // `ip netns exec` shows it to programs in place of `/etc/hosts`.
        let folder = self.settings();
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("hosts"), hosts).expect("written");
    }

    fn settings(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.namespace)
    }

    /// Takes an address family from the machine itself: `::1` or `127.0.0.1/8` is gone.
    ///
    /// # Panics The system refuses.
    pub fn loses_loopback(&self, address: &str) {
        assert!(ip(&["-n", &self.namespace, "addr", "del", address, "dev", "lo"]), "{address} is removed");
    }

    /// Drops everything to this address.
    ///
    /// # Panics The system refuses.
    pub fn blocks(&self, address: &str) {
        assert!(ip(&["-n", &self.namespace, "route", "add", "blackhole", address]), "{address} is blocked");
    }

    /// Routes `destination` through this neighbour, who need not answer.
    ///
    /// # Panics The system refuses.
    pub fn route(&self, destination: &str, neighbour: &str) {
        let way = ["via", neighbour, "dev", "eth0", "onlink"];
        let args = [&["-n", &self.namespace, "route", "add", destination][..], &way].concat();
        assert!(ip(&args), "{destination} is routed");
    }

    /// Runs `open` on a thread in this namespace. Sockets that it makes stay this machine's.
    ///
    /// # Panics `open` panics, or the system refuses.
    #[cfg(target_os = "linux")]
    pub fn run<T: Send>(&self, open: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            self.enter();
            open()
        };
        std::thread::scope(|scope| scope.spawn(inside).join().expect("it does not panic"))
    }

    /// Moves the calling thread into this namespace: its new sockets and processes are this machine's. It cannot go
    /// back, so use a thread of the story's own.
    ///
    /// # Panics The system refuses.
    #[cfg(target_os = "linux")]
    pub fn enter(&self) {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        use std::os::fd::AsFd;
        let space = std::fs::File::open(Path::new("/run/netns").join(&self.namespace)).expect("a namespace");
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("entered");
    }

    /// Replaces one address by another, as a machine that changes its network.
    pub fn moves(&self, from: &str, to: &str) {
        self.remove(from);
        self.add(to);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.machines.iter().for_each(Machine::delete);
        ip(&["netns", "delete", &self.hub]);
    }
}

/// Names for the namespaces of one network. Removes those of killed stories.
pub(crate) fn names() -> impl Fn(&str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    sweep();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    move |part| format!("{PREFIX}{}-{number}-{part}", std::process::id())
}

/// Says that a story with a network is skipped.
///
/// # Panics `CI` is set: there no story may be skipped.
pub(crate) fn impossible() {
    let why = "a network cannot be made: this story needs Linux, root and `ip` of iproute2";
    assert!(std::env::var_os("CI").is_none(), "must not be skipped where CI is set: {why}");
    crate::skipped(why);
}

/// Removes the namespaces of a killed story.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            ip(&["netns", "delete", &name]);
        }
    }
}

fn ip(args: &[&str]) -> bool {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
