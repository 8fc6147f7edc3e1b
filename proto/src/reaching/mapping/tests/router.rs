//! A home router, in what of PCP, NAT-PMP and UPnP it speaks.

use super::*;

pub(super) struct Router {
    pub pcp: bool,
    pub pmp: bool,
    pub upnp: bool,
    /// Its outside address; `None`: its line is down.
    pub wan: Option<Ipv4Addr>,
    /// It knows that its outside address is private, and refuses as miniupnpd does.
    pub knows: bool,
    /// Whether its system says that nobody listens at the port of PCP.
    pub says_closed: bool,
    /// What every UPnP request is refused with.
    pub upnp_code: Option<u16>,
    /// Whether its UPnP chooses an outside port itself: IGD 2.
    pub chooses: bool,
    /// What is granted at the most; 0: UPnP's mappings last for ever.
    pub most: u32,
    /// How many packets are lost next.
    pub loses: u32,
    /// Off: says nothing at all.
    pub off: bool,
    /// Where its UPnP answers now.
    pub number: u64,
    pub ip: Ipv4Addr,
    pub table: Vec<Forward>,
    pub started: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forward {
    pub outside: u16,
    pub client: Ipv4Addr,
    pub inside: u16,
    pub nonce: Option<pcp::Nonce>,
    pub ends: Option<Instant>,
}

pub(super) enum Reaction {
    Answers(Vec<Vec<u8>>),
    NobodyListens,
}

impl Router {
    pub(super) fn new(pcp: bool, pmp: bool, upnp: bool) -> Self {
        Self {
            pcp,
            pmp,
            upnp,
            wan: Some(WAN.into()),
            knows: true,
            says_closed: true,
            upnp_code: None,
            chooses: true,
            most: 3600,
            loses: 0,
            off: false,
            number: 1,
            ip: GATEWAY.into(),
            table: Vec::new(),
            started: None,
        }
    }

    pub(super) fn start(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Loses everything; its UPnP answers elsewhere.
    pub(super) fn restart(&mut self, now: Instant) {
        self.start(now);
        self.table.clear();
        self.number += 1;
    }

    pub(super) fn epoch(&self, now: Instant) -> u32 {
        let since = self.started.map_or(Duration::ZERO, |started| now - started);
        u32::try_from(since.as_secs()).expect("short")
    }

    /// What it forwards to the host, and to nobody else.
    pub(super) fn forwards(&mut self, now: Instant) -> Vec<(u16, u16)> {
        self.table.retain(|forward| forward.ends.is_none_or(|ends| now < ends));
        let ours = self.table.iter().filter(|forward| forward.client.octets() == HOST);
        ours.map(|forward| (forward.outside, forward.inside)).collect()
    }

    fn is_unconnected(&self) -> bool {
        self.wan.is_none_or(|wan| self.knows && wan.is_private())
    }

    fn ends(now: Instant, seconds: u32) -> Option<Instant> {
        Some(now + Duration::from_secs(u64::from(seconds)))
    }

    /// The next free port from there on, or the one that this inside port has.
    fn place(
        &mut self,
        now: Instant,
        inside: u16,
        outside: u16,
        nonce: Option<pcp::Nonce>,
        lifetime: u32,
    ) -> u16 {
        let client = Ipv4Addr::from(HOST);
        let ends = Self::ends(now, lifetime);
        if let Some(old) = self.table.iter_mut().find(|old| (old.client, old.inside) == (client, inside)) {
            (old.ends, old.nonce) = (ends, nonce);
            return old.outside;
        }
        let taken = |port: u16| self.table.iter().any(|forward| forward.outside == port);
        let outside = (outside..).find(|port| !taken(*port)).expect("a port");
        self.table.push(Forward { outside, client, inside, nonce, ends });
        outside
    }

    pub(super) fn hear(&mut self, now: Instant, bytes: &[u8]) -> Reaction {
        let silent = Reaction::Answers(Vec::new());
        if self.off {
            return silent;
        }
        if !(self.pcp || self.pmp) {
            return if self.says_closed { Reaction::NobodyListens } else { silent };
        }
        if self.loses > 0 {
            self.loses -= 1;
            return silent;
        }
        self.forwards(now);
        let answer = match bytes {
            [0, ..] if self.pmp => Some(self.hear_pmp(now, bytes)),
            [2, ..] if self.pcp => Some(self.hear_pcp(now, bytes)),
            // The other protocol's refusal, in its own form.
            [2, operation, ..] => Some(vec![0, 128 + operation, 0, 1, 0, 0, 0, 0]),
            _ => {
                let mut answer = vec![2, 128 + bytes[1], 0, 1];
                answer.resize(24, 0);
                Some(answer)
            }
        };
        Reaction::Answers(answer.into_iter().collect())
    }

    fn hear_pmp(&mut self, now: Instant, bytes: &[u8]) -> Vec<u8> {
        let epoch = self.epoch(now).to_be_bytes();
        let code: u8 = if self.is_unconnected() { 3 } else { 0 };
        let head = [&[0, 128 + bytes[1], 0, code][..], &epoch].concat();
        if bytes.len() == 2 {
            return [&head[..], &self.wan.unwrap_or(Ipv4Addr::UNSPECIFIED).octets()].concat();
        }
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let lifetime = u32::from_be_bytes(bytes[8..12].try_into().expect("four"));
        let (inside, mut outside, mut granted) = (word(4), word(6), lifetime.min(self.most));
        assert!(inside != 0, "that would remove the mappings of every program");
        if lifetime == 0 {
            self.table.retain(|forward| (forward.client.octets(), forward.inside) != (HOST, inside));
            (outside, granted) = (0, 0);
        } else if code == 0 {
            outside = self.place(now, inside, outside, None, granted);
        }
        [&head[..], &bytes[4..6], &outside.to_be_bytes(), &granted.to_be_bytes()].concat()
    }

    fn hear_pcp(&mut self, now: Instant, bytes: &[u8]) -> Vec<u8> {
        let mut answer = bytes.to_vec();
        answer[1] |= 128;
        answer[8..12].copy_from_slice(&self.epoch(now).to_be_bytes());
        answer[12..24].fill(0);
        if bytes.len() == 24 {
            return answer;
        }
        assert_eq!(bytes[8..24], Ipv4Addr::from(HOST).to_ipv6_mapped().octets(), "else ADDRESS_MISMATCH");
        let nonce: pcp::Nonce = bytes[24..36].try_into().expect("twelve");
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let (inside, outside) = (word(40), word(42));
        let lifetime = u32::from_be_bytes(bytes[4..8].try_into().expect("four"));
        let holder = self.table.iter().find(|old| (old.client.octets(), old.inside) == (HOST, inside));
        if holder.and_then(|old| old.nonce).is_some_and(|other| other != nonce) {
            answer[3] = 2;
        } else if lifetime == 0 {
            self.table.retain(|forward| (forward.client.octets(), forward.inside) != (HOST, inside));
        } else if self.is_unconnected() {
            answer[3] = 8;
        } else {
            let granted = lifetime.min(self.most);
            let outside = self.place(now, inside, outside, Some(nonce), granted);
            answer[4..8].copy_from_slice(&granted.to_be_bytes());
            answer[42..44].copy_from_slice(&outside.to_be_bytes());
        }
        let wan = self.wan.unwrap_or(Ipv4Addr::UNSPECIFIED);
        answer[44..60].copy_from_slice(&wan.to_ipv6_mapped().octets());
        answer
    }

    pub(super) fn devices(&self) -> Option<Device> {
        (self.upnp && !self.off).then_some(Device { number: self.number, ip: self.ip })
    }

    /// `None`: silence.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        device: u64,
        action: Action,
    ) -> Option<Result<Reply, Refusal>> {
        if self.off {
            return None;
        }
        if device != self.number {
            // The connection is refused.
            return Some(Err(Refusal::Silent));
        }
        if let Some(code) = self.upnp_code {
            return Some(Err(Refusal::Code(code)));
        }
        self.forwards(now);
        let client = Ipv4Addr::from(HOST);
        Some(match action {
            Action::Address => {
                let wan = self.wan.filter(|_| !self.is_unconnected());
                Ok(Reply::Address(wan.map(IpAddr::from)))
            }
            Action::Entry { outside } => {
                let found = self.table.iter().find(|forward| forward.outside == outside);
                Ok(Reply::Entry(found.map(|forward| Mapped {
                    client: forward.client,
                    inside: forward.inside,
                    seconds:
                        forward.ends.map_or(0, |ends| u32::try_from((ends - now).as_secs()).expect("short")),
                })))
            }
            Action::Add { .. } | Action::AddAny { .. } if self.is_unconnected() => Err(Refusal::Code(501)),
            Action::Add { outside, inside, seconds } => {
                let holder = self.table.iter().find(|forward| forward.outside == outside);
                if holder.is_some_and(|forward| forward.client != client) {
                    return Some(Err(Refusal::Code(718)));
                }
                if self.most == 0 && seconds != 0 {
                    return Some(Err(Refusal::Code(725)));
                }
                // Another program of the same client is replaced without a word.
                self.table.retain(|forward| forward.outside != outside);
                let ends = (seconds > 0).then_some(seconds.min(self.most));
                let ends = ends.and_then(|seconds| Self::ends(now, seconds));
                self.table.push(Forward { outside, client, inside, nonce: None, ends });
                Ok(Reply::Added)
            }
            Action::AddAny { .. } if !self.chooses => Err(Refusal::Code(401)),
            Action::AddAny { inside, seconds } => {
                let ends = Self::ends(now, seconds);
                self.table.push(Forward { outside: 50_000, client, inside, nonce: None, ends });
                Ok(Reply::AddedAt(50_000))
            }
            Action::Remove { outside } => {
                self.table.retain(|forward| (forward.outside, forward.client) != (outside, client));
                Ok(Reply::Removed)
            }
        })
    }

    /// What it multicasts at its start.
    pub(super) fn announcement(&self, now: Instant) -> Vec<u8> {
        if self.pcp {
            let mut bytes = vec![2, 128, 0, 0, 0, 0, 0, 0];
            bytes.extend(self.epoch(now).to_be_bytes());
            bytes.resize(24, 0);
            bytes
        } else {
            let wan = self.wan.unwrap_or(Ipv4Addr::UNSPECIFIED);
            [&[0, 128, 0, 0][..], &self.epoch(now).to_be_bytes(), &wan.octets()].concat()
        }
    }
}
