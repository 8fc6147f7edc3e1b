//! Players' lines on one machine: a network namespace for each, joined by a bridge, and the kernel's token bucket on each
//! uplink. Needs root and `ip` and `tc` of iproute2; the namespaces are removed with the lines.

use anyhow::Context;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
};

/// Prefix of the namespaces' names; the process's number follows.
const PREFIX: &str = "fcroom";

pub struct Lines {
    hub: String,
    /// The players' namespaces and addresses.
    pub lines: Vec<Line>,
}

#[derive(Clone)]
pub struct Line {
    namespace: String,
    pub ip: IpAddr,
}

impl Line {
    /// `program` at this end.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }
}

impl Lines {
    /// # Errors What the machine lacks.
    pub fn open(players: u8, mbit: u32) -> anyhow::Result<Self> {
        sweep();
        let pid = std::process::id();
        let namespace = |name: &str| format!("{PREFIX}{pid}-{name}");
        // From here on a failure removes the namespaces.
        let mut lines = Self { hub: namespace("hub"), lines: Vec::new() };
        let hub = lines.hub.clone();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "addr", "add", &format!("{}/24", lines.hub().ip), "dev", "bridge"])?;
        for up in ["lo", "bridge"] {
            ip(&["-n", &hub, "link", "set", up, "up"])?;
        }
        for number in 1..=players {
            let line = Line { namespace: namespace(&number.to_string()), ip: address(number) };
            let (space, port) = (line.namespace.clone(), format!("port{number}"));
            lines.lines.push(line.clone());
            ip(&["netns", "add", &space])?;
            ip(&["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "line", "netns", &space])?;
            ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
            ip(&["-n", &space, "addr", "add", &format!("{}/24", line.ip), "dev", "line"])?;
            for up in ["lo", "line"] {
                ip(&["-n", &space, "link", "set", up, "up"])?;
            }
            let rate = format!("{mbit}mbit");
            run(Command::new("tc")
                .args(["-n", &space, "qdisc", "add", "dev", "line", "root", "tbf"])
                .args(["rate", &rate, "burst", "32kb", "latency", "100ms"]))?;
        }
        Ok(lines)
    }

    /// Where all lines meet; it has no limit.
    pub fn hub(&self) -> Line {
        Line { namespace: self.hub.clone(), ip: address(254) }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for line in self.lines.iter().chain([&self.hub()]) {
            ip(&["netns", "delete", &line.namespace]).ok();
        }
    }
}

/// Not of a private network: to daemons these are players far away.
fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, number).into()
}

/// What a process's line has carried so far: received and sent bytes.
pub fn carried(pid: u32) -> anyhow::Result<(u64, u64)> {
    let devices = fs::read_to_string(format!("/proc/{pid}/net/dev"))?;
    let line =
        devices.lines().find_map(|line| line.trim().strip_prefix("line:")).context("it has no line")?;
    let counts: Vec<u64> = line.split_whitespace().filter_map(|count| count.parse().ok()).collect();
    match (counts.first(), counts.get(8)) {
        (Some(received), Some(sent)) => Ok((*received, *sent)),
        _ => anyhow::bail!("not the kernel's table: {line}"),
    }
}

/// Removes the namespaces of a killed bench.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            ip(&["netns", "delete", &name]).ok();
        }
    }
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().context("`ip` or `tc` is missing: install iproute2")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    anyhow::ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}
