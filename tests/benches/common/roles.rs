//! The bench started once more, as the other process of a reference.

use super::{book, raw, town::runtime};
use std::{env, process::Command};

const ROLE: &str = "FYTECLUB_BENCH_ROLE";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Bare quinn that sends as many bytes as it is asked for.
    RawServer,
    /// Bare quinn that asks for them, told by lines on stdin.
    RawClient,
    /// A bare Unix socket: so many bytes in, so many out.
    Echo,
    /// The phone book's framework with one small answer.
    Hello,
    /// One of those who mean a phone book no good.
    Attack,
}

impl Role {
    const ALL: [(Self, &'static str); 5] = [
        (Self::RawServer, "raw-server"),
        (Self::RawClient, "raw-client"),
        (Self::Echo, "echo"),
        (Self::Hello, "hello"),
        (Self::Attack, "attack"),
    ];

    /// This very program, in that role.
    pub fn command(self) -> anyhow::Result<Command> {
        let name = Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name);
        let mut command = Command::new(env::current_exe()?);
        command.env(ROLE, name);
        Ok(command)
    }

    pub fn run(self) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            match self {
                Self::RawServer => raw::serve().await,
                Self::RawClient => raw::obey().await,
                Self::Echo => super::echo::serve().await,
                Self::Hello => book::hello::serve().await,
                Self::Attack => book::attack::serve().await,
            }
        })
    }
}

pub fn asked() -> Option<Role> {
    let asked = env::var(ROLE).ok()?;
    Role::ALL.iter().find(|(_, name)| *name == asked).map(|(role, _)| *role)
}
