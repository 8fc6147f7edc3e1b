//! Limits of speed: read, changed while the daemon runs, and reset to the configuration. A change takes effect once it
//! is on the disk.

use super::orders::{Answer, Kept, Later, Order, Orders, Write};
use crate::{
    desks::faults::internal,
    io::{keeper::Keeping, limits::LimitsFile},
    pumps::pace::Pacer,
};
use fyteclub_proto::{
    fetching::pace::Change,
    local::{Fault, FaultCode, reply},
};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

struct Pending {
    change: Change,
    answer: oneshot::Sender<Answer<reply::Limits>>,
}

pub struct LimitDesk {
    file: LimitsFile,
    pacer: Pacer,
    next: u64,
    /// Changes that are being written.
    pending: BTreeMap<u64, Pending>,
}

impl LimitDesk {
    pub fn new(file: LimitsFile, pacer: Pacer) -> Self {
        Self { file, pacer, next: 0, pending: BTreeMap::new() }
    }

    pub fn limits(&self) -> reply::Limits {
        reply::Limits { limits: self.file.limits(), set_here: !self.file.set_here().is_empty() }
    }

    pub fn change(&mut self, change: Change, orders: &mut Orders) -> Later<reply::Limits> {
        let begun = self.file.change(change);
        self.await_write(begun, orders)
    }

    /// Resets all limits to the configuration.
    pub fn reset(&mut self, orders: &mut Orders) -> Later<reply::Limits> {
        let begun = self.file.reset();
        self.await_write(begun, orders)
    }

    fn await_write(
        &mut self,
        (change, keeping): (Change, Keeping),
        orders: &mut Orders,
    ) -> Later<reply::Limits> {
        let (answer, answered) = oneshot::channel();
        self.next += 1;
        self.pending.insert(self.next, Pending { change, answer });
        orders.add(Order::Await(keeping, Write::Limits(self.next)));
        Box::pin(async { answered.await.unwrap_or_else(|_| Err(internal())) })
    }

    /// The write with this number has ended.
    pub fn written(&mut self, write: u64, result: Kept) {
        let Some(Pending { change, answer }) = self.pending.remove(&write) else { return };
        let says = match result {
            Ok(()) => {
                self.file.kept(change);
                self.pacer.set(self.file.limits());
                Ok(self.limits())
            }
            Err(error) => {
                self.file.lost(change);
                Err(Fault::new(FaultCode::Io, error.to_string()))
            }
        };
        // A client that has left needs no answer.
        answer.send(says).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::keeper::{KeepError, Keeper};
    use fyteclub_proto::fetching::pace::Limits;

    fn ordered(orders: &mut Orders) -> u64 {
        match orders.pop() {
            Some(Order::Await(_, Write::Limits(write))) => write,
            _ => panic!("no write"),
        }
    }

    #[tokio::test]
    async fn change_takes_effect_once_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("limits.json");
        let file = LimitsFile::load(&path, Limits::default(), Keeper::default()).expect("no file");
        let (mut desk, mut orders) =
            (LimitDesk::new(file, Pacer::start(Limits::default())), Orders::default());
        let before = desk.limits();
        let change = Change { lan: Some(!before.limits.lan), ..Change::default() };
        let refused = desk.change(change, &mut orders);
        let write = ordered(&mut orders);
        let source = std::io::Error::other("broken").into();
        desk.written(write, Err(KeepError { path, source }));
        assert_eq!(refused.await.expect_err("not kept").code, FaultCode::Io);
        assert_eq!(desk.limits(), before);
        let changed = desk.change(change, &mut orders);
        assert_eq!(desk.limits(), before, "not yet");
        let write = ordered(&mut orders);
        desk.written(write, Ok(()));
        let limits = changed.await.expect("kept");
        assert_eq!((limits.limits.lan, limits.set_here), (!before.limits.lan, true));
        let reset = desk.reset(&mut orders);
        let write = ordered(&mut orders);
        desk.written(write, Ok(()));
        assert_eq!(reset.await.expect("kept"), before);
    }
}
