//! The bench started once more, as the other process of a reference.

use super::{raw, town::runtime};
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
}

impl Role {
    const ALL: [(Self, &'static str); 3] =
        [(Self::RawServer, "raw-server"), (Self::RawClient, "raw-client"), (Self::Echo, "echo")];

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
            }
        })
    }
}

pub fn asked() -> Option<Role> {
    let asked = env::var(ROLE).ok()?;
    Role::ALL.iter().find(|(_, name)| *name == asked).map(|(role, _)| *role)
}
