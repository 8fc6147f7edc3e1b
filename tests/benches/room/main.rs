//! A group of fifteen who fetch one owner's look at once and share it: what each one's line carries, as a multiple of
//! the look, with and without links among the fifteen.
//!
//! The lines are [`lines`]: a namespace of this kernel for each player, with an uplink of one rate. Every figure of a
//! line includes headers and acknowledgements; a fetch from an owner alone has about 1.05.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod group;
#[cfg(target_os = "linux")]
mod lines;

fn main() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    let bench = group::bench;
    #[cfg(not(target_os = "linux"))]
    let bench = || {
        println!("room: SKIPPED: the lines are made of Linux's network namespaces");
        Ok(())
    };
    common::main(bench)
}
