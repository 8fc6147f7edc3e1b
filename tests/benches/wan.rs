//! Long distances: what a line's rate, delay and losses leave of a transfer, next to TCP with CUBIC on the same link.
//!
//! The link is [`common::link`]: two namespaces of this kernel and a line between them in this process. Two real
//! daemons fetch over it, cold; TCP gets as long on the same line. `FYTECLUB_BENCH_WAN` selects jobs, all by default:
//! `grid`, `floor`, `queue`, `share`, `buffers`, and, only when named, `controllers`: bare quinn with each of its
//! controllers.

mod common;

#[cfg(target_os = "linux")]
#[path = "wan/far.rs"]
mod far;

fn main() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    let bench = far::bench;
    #[cfg(not(target_os = "linux"))]
    let bench = || {
        println!("wan: SKIPPED: the line is made of Linux's network namespaces and TUN devices");
        Ok(())
    };
    common::main(bench)
}
