//! Counts what leaves a machine of a [`Lan`](crate::Lan), by its kernel, so that no sender can forget to count.

use crate::lan::Machine;
use std::{
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

/// Datagrams that a machine sent, by group of destinations. The kernel counts until the machine is removed.
pub struct Counters {
    machine: Machine,
}

impl Counters {
    /// Counts UDP to each named group of destinations (`10.0.0.0/8`, `fe80::/10`) from now on. `None` with a message
    /// where `nft` is absent.
    ///
    /// # Panics It is absent and `CI` is set, or `nft` cannot read a destination.
    pub fn open(machine: &Machine, groups: &[(&str, &[&str])]) -> Option<Self> {
        let mut rules = String::from("table inet count {\n");
        for (name, _) in groups {
            rules += &format!("counter {name} {{ }}\n");
        }
        rules +=
            "chain out { type filter hook output priority 0; policy accept; meta l4proto != udp accept\n";
        for (name, places) in groups {
            let (six, four): (Vec<&str>, Vec<&str>) = places.iter().partition(|place| place.contains(':'));
            for (family, places) in [("ip", four), ("ip6", six)] {
                if !places.is_empty() {
                    rules += &format!("{family} daddr {{ {} }} counter name {name}\n", places.join(", "));
                }
            }
        }
        rules += "}\n}\n";
        let Some(done) = nft(machine, &["-f", "-"], &rules) else {
            let why = "packets cannot be counted: this story needs `nft` of nftables";
            assert!(std::env::var_os("CI").is_none(), "must not be skipped where CI is set: {why}");
            crate::skipped(why);
            return None;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(Self { machine: machine.clone() })
    }

    /// Datagrams to the group so far that the kernel accepted.
    ///
    /// # Panics The group is not counted.
    pub fn packets(&self, group: &str) -> u64 {
        let said = nft(&self.machine, &["-j", "list", "counter", "inet", "count", group], "").expect("nft");
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let counters = said["nftables"].as_array().expect("a list");
        let found = counters.iter().find_map(|entry| entry["counter"]["packets"].as_u64());
        found.unwrap_or_else(|| panic!("{group} is not counted: {said}"))
    }
}

/// `None` if there is no such program.
fn nft(machine: &Machine, args: &[&str], input: &str) -> Option<Output> {
    let found =
        ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].into_iter().find(|path| Path::new(path).exists())?;
    let mut command = machine.command(Path::new(found));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("nft reads");
    Some(child.wait_with_output().expect("nft ends"))
}
