//! A long, lossy link on one machine: two network namespaces with a TUN device each, and this process between them.
//!
//! One thread carries both directions: it reads packets, drops some by chance or because the queue is full, and writes
//! each when it is due. Programs inside use the kernel's own stack. Needs root, `/dev/net/tun` and `ip` of iproute2;
//! the namespaces are removed with the link.

use super::look::Noise;
use anyhow::Context;
use fyteclub_proto::number::{f64_of, u64_of};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

const MTU: usize = 1500;
/// Packets that the kernel queues before it drops: all loss is ours.
const DEVICE_QUEUE: u32 = 20_000;
/// Packets of one direction that are read before the other's.
const BATCH: usize = 64;
/// Prefix of the namespaces' and devices' names; the process's number follows.
const PREFIX: &str = "fcwan";

/// What each direction of the link does to packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Both ways together.
    pub rtt: Duration,
    /// The part of lost packets, 0 to 1.
    pub loss: f64,
    /// Bits a second.
    pub rate: f64,
    /// The queue before the bottleneck in BDP; at least 64 packets.
    pub queue: f64,
}

impl Shape {
    /// The BDP in bytes.
    pub(crate) fn product(&self) -> f64 {
        self.rate / 8.0 * self.rtt.as_secs_f64()
    }

    fn limit(&self) -> Duration {
        let bytes = (self.product() * self.queue).max(f64_of(u64_of(64 * MTU)));
        Duration::from_secs_f64(bytes * 8.0 / self.rate)
    }
}

/// Counters since the link was last shaped, from side A to side B.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    pub packets: u64,
    pub bytes: u64,
    pub lost: u64,
    /// Dropped because the queue was full.
    pub overflow: u64,
    waited: Duration,
    pub longest_wait: Duration,
    late: Duration,
}

impl Told {
    /// A packet's average time in the queue.
    pub(crate) fn wait(&self) -> Duration {
        self.waited.div_f64(f64_of(self.packets.max(1)))
    }

    /// How much later than due a packet was written, on average: this machine's own delay.
    pub(crate) fn late(&self) -> Duration {
        self.late.div_f64(f64_of(self.packets.max(1)))
    }
}

pub(crate) struct Link {
    sides: [Side; 2],
    shared: Arc<Mutex<Shared>>,
    carrier: Option<JoinHandle<()>>,
}

/// One end of the link.
pub(crate) struct Side {
    namespace: String,
    pub ip: IpAddr,
}

impl Side {
    /// `program` inside this end's namespace.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }
}

struct Shared {
    shape: Shape,
    shaped: u64,
    told: Told,
    ended: bool,
}

impl Link {
    /// # Errors What the machine lacks.
    pub(crate) fn open(shape: Shape) -> anyhow::Result<Self> {
        sweep();
        let pid = std::process::id();
        let sides = [0, 1].map(|n| Side {
            namespace: format!("{PREFIX}{pid}{}", ["a", "b"][n]),
            ip: Ipv4Addr::new(10, 213, 77, u8::try_from(n).expect("a small number") + 1).into(),
        });
        let shared = Arc::new(Mutex::new(Shared { shape, shaped: 0, told: Told::default(), ended: false }));
        // From here on a failure removes the namespaces.
        let mut link = Self { sides, shared, carrier: None };
        let devices = [link.device(0)?, link.device(1)?];
        let shared = link.shared.clone();
        link.carrier = Some(std::thread::Builder::new().name("link".to_owned()).spawn(move || {
            if let Err(error) = carry(&devices, &shared) {
                eprintln!("the shaped link broke: {error}");
            }
        })?);
        Ok(link)
    }

    pub(crate) fn side(&self, n: usize) -> &Side {
        &self.sides[n % 2]
    }

    /// Another shape from now on; packets under way are lost.
    pub(crate) fn shape(&self, shape: Shape) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.shape = shape;
        shared.shaped += 1;
        shared.told = Told::default();
    }

    pub(crate) fn told(&self) -> Told {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).told
    }

    fn device(&self, n: usize) -> anyhow::Result<SyncDevice> {
        let side = &self.sides[n];
        let (space, name) = (side.namespace.as_str(), side.namespace.as_str());
        let device = DeviceBuilder::new()
            .name(name)
            .layer(Layer::L3)
            .mtu(u16::try_from(MTU).expect("a small number"))
            .tx_queue_len(DEVICE_QUEUE)
            .enable(false)
            .build_sync()
            .context("/dev/net/tun cannot be used; it needs root")?;
        device.set_nonblocking(true)?;
        ip(&["netns", "add", space])?;
        ip(&["link", "set", name, "netns", space])?;
        let peer = self.sides[1 - n].ip.to_string();
        ip(&["-n", space, "addr", "add", &side.ip.to_string(), "peer", &peer, "dev", name])?;
        ip(&["-n", space, "link", "set", "lo", "up"])?;
        ip(&["-n", space, "link", "set", name, "up"])?;
        // TCP at its best: buffers for any BDP here, and no memory of the last connection.
        for (key, value) in [
            ("tcp_wmem", "4096 262144 134217728"),
            ("tcp_rmem", "4096 262144 134217728"),
            ("tcp_no_metrics_save", "1"),
        ] {
            let set = format!("echo '{value}' > /proc/sys/net/ipv4/{key}");
            run(side.command(Path::new("sh")).args(["-c", &set]))?;
        }
        Ok(device)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        if let Some(carrier) = self.carrier.take() {
            carrier.join().ok();
        }
        for side in &self.sides {
            ip(&["netns", "delete", &side.namespace]).ok();
        }
    }
}

/// Removes the namespaces of a killed bench.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let pid = rest.trim_end_matches(['a', 'b']);
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            ip(&["netns", "delete", &name]).ok();
        }
    }
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().context("`ip` is missing: install iproute2")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    anyhow::ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

/// One direction.
struct Lane {
    noise: Noise,
    /// When the bottleneck has sent everything.
    free: Instant,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl Lane {
    fn new(seed: u64) -> Self {
        Self { noise: Noise::new(seed), free: Instant::now(), under_way: VecDeque::new(), spare: Vec::new() }
    }

    fn take(&mut self, now: Instant, packet: Vec<u8>, shape: &Shape, told: &mut Told) {
        let free = self.free.max(now);
        let wait = free - now;
        let chance = f64_of(self.noise.number() >> 11) / f64_of(1_u64 << 53);
        if wait > shape.limit() {
            told.overflow += 1;
            self.spare.push(packet);
            return;
        }
        self.free = free + Duration::from_secs_f64(f64_of(u64_of(packet.len())) * 8.0 / shape.rate);
        // Lost behind the bottleneck, as by a radio.
        if chance < shape.loss {
            told.lost += 1;
            self.spare.push(packet);
            return;
        }
        told.packets += 1;
        told.bytes += u64_of(packet.len());
        told.waited += wait;
        told.longest_wait = told.longest_wait.max(wait);
        self.under_way.push_back((self.free + shape.rtt / 2, packet));
    }
}

fn carry(devices: &[SyncDevice; 2], shared: &Mutex<Shared>) -> io::Result<()> {
    let mut lanes = [Lane::new(1), Lane::new(2)];
    let mut ignored = Told::default();
    let mut shaped = 0;
    loop {
        let mut busy = false;
        {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.ended {
                return Ok(());
            }
            if shaped != shared.shaped {
                shaped = shared.shaped;
                lanes = [Lane::new(2 * shaped + 1), Lane::new(2 * shaped + 2)];
            }
            let shape = shared.shape;
            for (n, lane) in lanes.iter_mut().enumerate() {
                let told = if n == 0 { &mut shared.told } else { &mut ignored };
                let now = Instant::now();
                for _ in 0..BATCH {
                    let mut packet = lane.spare.pop().unwrap_or_default();
                    packet.resize(MTU + 64, 0);
                    match devices[n].recv(&mut packet) {
                        Ok(len) => {
                            packet.truncate(len);
                            lane.take(now, packet, &shape, told);
                            busy = true;
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            lane.spare.push(packet);
                            break;
                        }
                        Err(error) => return Err(error),
                    }
                }
                while let Some((due, _)) = lane.under_way.front() {
                    let now = Instant::now();
                    if *due > now {
                        break;
                    }
                    told.late += now - *due;
                    let Some((_, packet)) = lane.under_way.pop_front() else { break };
                    // A packet that the kernel refuses is lost.
                    devices[1 - n].send(&packet).ok();
                    lane.spare.push(packet);
                }
            }
        }
        if busy {
            continue;
        }
        let next = lanes.iter().filter_map(|lane| lane.under_way.front()).map(|(due, _)| *due).min();
        let now = Instant::now();
        let pause = next.map_or(Duration::from_millis(50), |due| due.saturating_duration_since(now));
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: pause.min(Duration::from_millis(50)).as_nanos().try_into().expect("below a second"),
        };
        let mut waiting = devices.each_ref().map(|device| PollFd::new(device, PollFlags::IN));
        match poll(&mut waiting, Some(&pause)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
