//! Prints one table a set, and compares it with the floors.

use super::{
    Run, Set,
    common::{Floor, Spread, Table, judge},
};
use fyteclub_proto::number::{f64_of, u64_of};

/// `rounds` have one run per name, and raw quinn's last.
pub(crate) fn print(set: &Set, names: &[&str], rounds: &[Vec<Run>]) {
    let gib = f64_of(set.bytes()) / f64::from(1 << 30);
    let title =
        format!("rivals: {}, {}, disk to disk, cold receiver; {} rounds", set.key, set.name, rounds.len());
    let columns = ["", "wall s", "MB/s", "CPU s/GiB, both", "peak MiB s", "r", "again ms"];
    let mut table = Table::new(&title, &columns);
    let of = |index: usize, value: &dyn Fn(&Run) -> f64| {
        Spread::of(rounds.iter().filter_map(|round| round.get(index)).map(value))
    };
    for (index, name) in names.iter().copied().chain(["raw quinn, memory to memory"]).enumerate() {
        table.row([
            name.to_owned(),
            of(index, &|run| run.wall).to_string(),
            of(index, &|run| f64_of(set.bytes()) / 1e6 / run.wall).to_string(),
            of(index, &|run| run.cpu / gib).to_string(),
            of(index, &|run| run.peaks[0]).to_string(),
            of(index, &|run| run.peaks[1]).to_string(),
            of(index, &|run| run.again * 1e3).to_string(),
        ]);
    }
    drop(table);
    println!("ratios to each in the same round:");
    for (index, name) in names.iter().enumerate().skip(1) {
        let ratio = |value: &dyn Fn(&Run) -> f64| {
            Spread::of(
                rounds.iter().filter_map(|round| Some(value(round.first()?) / value(round.get(index)?))),
            )
        };
        let wall = ratio(&|run| run.wall);
        let cpu = ratio(&|run| run.cpu);
        for (what, floor) in floors(set.key, name) {
            let spread = if what == "CPU" { cpu } else { wall };
            judge(&format!("{what} to {name}"), spread, floor);
        }
        println!("          wall {wall}, CPU {cpu} of {name}");
    }
    if set.sizes.len() > 256 {
        let count = f64_of(u64_of(set.sizes.len()));
        judge("files a second", of(0, &|run| count / run.wall), Floor::AtLeast(2000.0));
        judge("ms for a fetch of what is here", of(0, &|run| run.again * 1e3), Floor::AtMost(50.0));
    }
}

fn floors(set: &str, name: &str) -> Vec<(&'static str, Floor)> {
    let at_most = Floor::AtMost;
    match (set, name.split(' ').next().unwrap_or_default()) {
        ("large", "iroh-blobs") => vec![("wall", at_most(0.7)), ("CPU", at_most(0.65))],
        ("large", "nginx") => vec![("wall", at_most(1.0)), ("CPU", at_most(1.0))],
        ("large", "Syncthing") => vec![("wall", at_most(1.0))],
        ("mixed", "iroh-blobs") => vec![("wall", at_most(0.15))],
        ("mixed", "nginx") => vec![("wall", at_most(1.0))],
        ("mixed", "Syncthing") => vec![("wall", at_most(0.2))],
        _ => Vec::new(),
    }
}
