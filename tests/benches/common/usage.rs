//! Resources of a process, from `/proc`; elsewhere `None`, and the tables show `-`.

use fyteclub_proto::number::f64_of;
use std::{fs, time::Duration};

/// `USER_HZ`: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// User and system time of a process so far, its finished threads included.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may contain anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok();
    Some(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS))
}

/// Waits until a child of this process exits; returns its CPU seconds. Reap it afterwards: until then `/proc` has it.
#[cfg(unix)]
pub(crate) fn cpu_at_end(pid: u32) -> anyhow::Result<f64> {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| anyhow::anyhow!("{pid} is no process"))?;
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    Ok(seconds(cpu(pid)))
}

#[cfg(not(unix))]
pub(crate) fn cpu_at_end(_: u32) -> anyhow::Result<f64> {
    anyhow::bail!("what an ended process used is only known on Unix")
}

/// Bytes that a process has written so far, mostly to files: QUIC's bytes are sent, not written.
pub(crate) fn written(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("wchar:"))?.trim().parse().ok()
}

/// Stops a process for a last measurement.
pub(crate) fn freeze(pid: u32) {
    #[cfg(unix)]
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).ok();
    }
    #[cfg(not(unix))]
    let _ = pid;
}

/// Bytes in memory now.
pub(crate) fn rss(pid: u32) -> Option<u64> {
    status(pid, "VmRSS:")
}

/// Most bytes in memory since [`reset_peak`], or ever.
pub(crate) fn peak_rss(pid: u32) -> Option<u64> {
    status(pid, "VmHWM:")
}

pub(crate) fn reset_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").ok();
}

fn status(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

pub(crate) fn mib(bytes: Option<u64>) -> f64 {
    bytes.map_or(f64::NAN, |bytes| f64_of(bytes) / f64::from(1 << 20))
}

pub(crate) fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64())
}

/// CPU time of several processes from now on.
pub(crate) struct Meter {
    processes: Vec<(u32, Option<Duration>)>,
}

impl Meter {
    pub(crate) fn start(pids: impl IntoIterator<Item = u32>) -> Self {
        let processes = pids.into_iter().map(|pid| {
            reset_peak(pid);
            (pid, cpu(pid))
        });
        Self { processes: processes.collect() }
    }

    /// Seconds of each, in the order of the start.
    pub(crate) fn cpu(&self) -> Vec<f64> {
        let used = |(pid, before): &(u32, Option<Duration>)| seconds(cpu(*pid)) - seconds(*before);
        self.processes.iter().map(used).collect()
    }

    /// Peak MiB of each, in the order of the start.
    pub(crate) fn peaks(&self) -> Vec<f64> {
        self.processes.iter().map(|(pid, _)| mib(peak_rss(*pid))).collect()
    }
}
