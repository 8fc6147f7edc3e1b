//! The bench program started again, as a process of a reference.

use super::{book, flow, forward, raw, town::runtime};
use std::{env, path::Path, process::Command};

const ROLE: &str = "FYTECLUB_BENCH_ROLE";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Bare quinn that sends the requested number of bytes.
    RawServer,
    /// Bare quinn that requests them, by lines on stdin.
    RawClient,
    /// A bare Unix socket: so many bytes in, so many out.
    Echo,
    /// Bare TCP or quinn that sends as long as the sink reads.
    Source,
    /// The sink, which counts.
    Sink,
    /// The phone book's framework with one small answer.
    Hello,
    /// An attacker of the phone book.
    Attack,
    /// A bare UDP forwarder.
    Forward,
}

impl Role {
    const ALL: [(Self, &'static str); 8] = [
        (Self::RawServer, "raw-server"),
        (Self::RawClient, "raw-client"),
        (Self::Echo, "echo"),
        (Self::Source, "source"),
        (Self::Sink, "sink"),
        (Self::Hello, "hello"),
        (Self::Attack, "attack"),
        (Self::Forward, "forward"),
    ];

    /// This program in that role.
    pub(crate) fn command(self) -> anyhow::Result<Command> {
        self.inside(|program| Command::new(program))
    }

    /// The same with a command made by `make`.
    pub(crate) fn inside(self, make: impl FnOnce(&Path) -> Command) -> anyhow::Result<Command> {
        let name = Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name);
        let mut command = make(&env::current_exe()?);
        command.env(ROLE, name);
        Ok(command)
    }

    pub(crate) fn run(self) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            match self {
                Self::RawServer => raw::serve().await,
                Self::RawClient => raw::obey().await,
                Self::Echo => super::echo::serve().await,
                Self::Source => flow::serve().await,
                Self::Sink => flow::count().await,
                Self::Hello => book::hello::serve().await,
                Self::Attack => book::attack::serve().await,
                Self::Forward => forward::serve().await,
            }
        })
    }
}

pub(crate) fn asked() -> Option<Role> {
    let asked = env::var(ROLE).ok()?;
    Role::ALL.iter().find(|(_, name)| *name == asked).map(|(role, _)| *role)
}
