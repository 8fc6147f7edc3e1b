//! Multicast DNS, by `mdns-sd`: announces this daemon in the local network and hears of others. Nothing else names that
//! crate.
//!
//! The crate's thread reads every datagram on port 5353, and caches without a bound what it takes for an answer. So
//! [`Mdns::load`] tells how much it holds, for the caller to start another one.

use futures::{Stream, StreamExt};
use fyteclub_proto::reaching::lan::name::Name;
use mdns_sd::{IfKind, IfPredicate, ServiceDaemon, ServiceEvent, ServiceInfo};
use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub const SERVICE: &str = "_fyteclub._udp.local.";
/// What mDNS may hold: records of several hundred machines, and of their refreshes.
const RECORDS_MAX: i64 = 4096;
const TIMERS_MAX: i64 = 65_536;
/// How long a verified entry has to answer.
const VERIFY_TIME: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum MdnsError {
    #[error("multicast DNS is not possible here: {0}")]
    Failed(#[from] mdns_sd::Error),
}

/// What is heard of others, and of this daemon itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A daemon is announced at these addresses.
    Named { name: Name, addrs: Vec<SocketAddr> },
    /// It is not announced any more.
    Gone(Name),
}

/// A running announcement. Dropping it withdraws it, if there is time to send that.
pub struct Mdns {
    daemon: ServiceDaemon,
}

impl Mdns {
    /// Announces `name` at these addresses of this machine, on the named interfaces alone.
    ///
    /// # Errors
    /// The system offers no thread or no events.
    pub fn open(
        name: Name,
        addrs: &[IpAddr],
        port: u16,
        interfaces: BTreeSet<String>,
    ) -> Result<Self, MdnsError> {
        let this = Self { daemon: ServiceDaemon::new()? };
        // The caller opens another one when the addresses change.
        this.daemon.set_ip_check_interval(0)?;
        this.daemon.disable_interface(IfKind::All)?;
        let is_ours = IfPredicate::new(move |interface| interfaces.contains(&interface.name));
        this.daemon.enable_interface(IfKind::Predicate(is_ours))?;
        // The machine's own name is nobody's business.
        let host = format!("{name}.local.");
        let none = None::<HashMap<String, String>>;
        let mut info = ServiceInfo::new(SERVICE, &name.to_string(), &host, addrs, port, none)?;
        // A random name needs no question whether it is taken, and so nobody can take it.
        info.set_requires_probe(false);
        this.daemon.register(info)?;
        Ok(this)
    }

    /// Asks who is here. Replaces an earlier stream, which ends. What is known already comes first. Ends when it is read
    /// too slowly.
    ///
    /// # Errors
    /// The thread has ended, or has too much to do.
    pub fn browse(&self) -> Result<impl Stream<Item = Heard> + use<>, MdnsError> {
        let events = self.daemon.browse(SERVICE)?;
        Ok(events.into_stream().filter_map(|event| std::future::ready(heard(event))))
    }

    /// Asks whether it is still there: an entry that does not answer is [`Heard::Gone`] within about three seconds.
    pub fn verify(&self, name: Name) {
        if let Err(error) = self.daemon.verify(format!("{name}.{SERVICE}"), VERIFY_TIME) {
            tracing::debug!("{name} is not verified: {error}");
        }
    }

    /// Whether it holds no more than it may; also false if it does not answer in time.
    pub fn load(&self, patience: Duration) -> impl Future<Output = bool> + use<> {
        let asked = self.daemon.get_metrics();
        async move {
            let Ok(answer) = asked else { return false };
            let Ok(Ok(counts)) = tokio::time::timeout(patience, answer.recv_async()).await else {
                return false;
            };
            let records = counts.iter().filter(|(name, _)| name.starts_with("cached-"));
            let records: i64 = records.map(|(_, count)| count).sum();
            records <= RECORDS_MAX && counts.get("timer").is_none_or(|timers| *timers <= TIMERS_MAX)
        }
    }

    /// Withdraws the announcement; resolves when that was sent.
    pub fn close(self) -> impl Future<Output = ()> {
        let closing = self.daemon.shutdown();
        async move {
            if let Ok(closed) = closing {
                closed.recv_async().await.ok();
            }
        }
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        // It may be closed already.
        self.daemon.shutdown().ok();
    }
}

fn heard(event: ServiceEvent) -> Option<Heard> {
    match event {
        ServiceEvent::ServiceResolved(found) => {
            let port = found.get_port();
            let addrs =
                found.get_addresses().iter().map(|ip| SocketAddr::new(ip.to_ip_addr(), port)).collect();
            Some(Heard::Named { name: named(found.get_fullname())?, addrs })
        }
        ServiceEvent::ServiceRemoved(_, fullname) => named(&fullname).map(Heard::Gone),
        _ => None,
    }
}

fn named(fullname: &str) -> Option<Name> {
    let (name, service) = fullname.split_once('.')?;
    if service.eq_ignore_ascii_case(SERVICE) { Name::parse(name) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fyteclub_proto::id::PeerId;

    #[test]
    fn only_names_of_daemons_are_heard() {
        let name = Name::new(&PeerId::from_bytes([1; 32]), [2; 8]);
        assert_eq!(named(&format!("{name}.{SERVICE}")), Some(name));
        for other in [
            format!("{name}"),
            format!("{name}._http._tcp.local."),
            format!("printer.{SERVICE}"),
            format!("{name} (2).{SERVICE}"),
        ] {
            assert_eq!(named(&other), None, "{other}");
        }
    }
}
