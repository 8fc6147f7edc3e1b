//! Mods made to cost the daemon memory or time: an input of one MiB costs 32 MiB at most beside three times the look's
//! document, and a second beside its real unpacking.

#![cfg(target_os = "linux")]

use fyteclub_proto::number::{f64_of, u32_of};
use fyteclub_tests::{Resident, Town, within};
use std::{
    fmt::Write as _,
    fs,
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The size of an input, and its cost.
const INPUT_MAX: usize = 1 << 20;
const MEMORY_MAX: u64 = 32 << 20;
/// CPU seconds, and more for each unpacked GiB. Without optimisation everything takes longer.
const SECONDS_MAX: f64 = 1.0 * SLOWER;
const SECONDS_A_GIB: f64 = 2.0 * SLOWER;
const SLOWER: f64 = if cfg!(debug_assertions) { 25.0 } else { 1.0 };

const JSON_MAX: usize = 4 << 20;

/// A `.pmp` of these files.
fn pmp(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(*name, options.compression_level(Some(9))).expect("begun");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("an archive").into_inner()
}

/// Above every count that ends a reading, and few enough that the longest input is at its limit.
const ITEMS_MAX: usize = 250_000;

/// As many of these as fit between the two, separated by commas.
fn full(before: &str, each: impl Fn(usize) -> String, after: &str) -> Vec<u8> {
    let mut json = before.to_owned();
    for number in 0..ITEMS_MAX {
        let item = each(number);
        if json.len() + item.len() + after.len() + 1 > JSON_MAX {
            break;
        }
        if number > 0 {
            json.push(',');
        }
        json += &item;
    }
    (json + after).into_bytes()
}

/// So many group files, or as many as fit, with equal content.
fn groups(count: usize, json: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(json.to_vec()).expect("text");
    let file = |number: usize| {
        let number = format!("{number:04}");
        (format!("group_{number}.json"), text.replacen("NAME", &number, 1))
    };
    let pack = |count: usize| {
        let files: Vec<_> = (0..count).map(file).collect();
        pmp(&files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect::<Vec<_>>())
    };
    let one = pack(1);
    match count.min(INPUT_MAX * 19 / 20 / one.len()) {
        0 | 1 => one,
        count => pack(count),
    }
}

/// An archive whose list names one entry again and again, and whose end record announces more.
fn repeated(entries: usize, said: u16) -> Vec<u8> {
    let base = pmp(&[("default_mod.json", b"{}"), ("a.tex", b"a")]);
    let list = base.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("a list");
    let end = base.windows(4).position(|bytes| bytes == b"PK\x05\x06").expect("an end");
    let second =
        base[list + 4..end].windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("two") + list + 4;
    let mut bytes = base[..end].to_vec();
    for _ in 2..entries {
        bytes.extend_from_slice(&base[second..end]);
    }
    let len = u32_of(bytes.len() - list);
    bytes.extend_from_slice(&base[end..]);
    let record = bytes.len() - 22;
    bytes[record + 8..record + 10].copy_from_slice(&said.to_le_bytes());
    bytes[record + 10..record + 12].copy_from_slice(&said.to_le_bytes());
    bytes[record + 12..record + 16].copy_from_slice(&len.to_le_bytes());
    bytes
}

/// As many real files as fit in an archive of 1 MiB, each of them shown.
fn many_files() -> Vec<u8> {
    let names: Vec<String> = (0..8_000).map(|number| format!("{number:x}.tex")).collect();
    let mut json = "{\"Files\":{".to_owned();
    for (number, name) in names.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(json, "{comma}\"{name}\":\"{name}\"").expect("text");
    }
    json += "}}";
    let mut entries = vec![("default_mod.json", json.as_bytes())];
    entries.extend(names.iter().map(|name| (name.as_str(), name.as_bytes())));
    pmp(&entries)
}

/// Name, file.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let on = |list: &str, each: fn(usize) -> String| {
        let before = format!("{{\"Name\":\"NAME\",\"Options\":[{{\"{list}\":");
        match list {
            "Manipulations" => full(&(before + "["), each, "]}]}"),
            _ => full(&(before + "{"), each, "}}]}"),
        }
    };
    let default = |json: &[u8]| pmp(&[("default_mod.json", json)]);
    let options = |count: usize| {
        let mut json = "{\"Name\":\"g\",\"Options\":[{}".to_owned();
        json.extend(std::iter::repeat_n(",{}", count));
        (json + "]}").into_bytes()
    };
    let pairs = |number: usize| format!("\"{number:x}.tex\":\"\"");
    let eqp = |number: usize| format!("{{\"Type\":\"Eqp\",\"Manipulation\":{{\"SetId\":{number}}}}}");
    let nested =
        |open: &str| [b"{\"Condition\":", open.repeat(JSON_MAX / open.len() - 4).as_bytes()].concat();
    let long = |byte: &str| format!("\"{}\"", byte.repeat(JSON_MAX / byte.len() - 30));
    let v4 = |groups: Vec<u8>| pmp(&[("meta.json", &groups)]);
    vec![
        ("61 KB that unpack to 60 MiB of empty options", pmp(&[("group_1.json", &options(20_000_000))])),
        ("as many empty options as one file holds", pmp(&[("group_1.json", &options(1_390_000))])),
        ("as many options as are read", pmp(&[("group_1.json", &options(32_767))])),
        ("short pairs", default(&full("{\"Files\":{", pairs, "}}"))),
        ("pairs in many groups", groups(8, &on("Files", pairs))),
        (
            "as many pairs as are read",
            default(&full(
                "{\"Files\":{",
                |n| if n < 131_072 { pairs(n) } else { " ".repeat(JSON_MAX) },
                "}}",
            )),
        ),
        (
            "long pairs in many groups",
            groups(8, &on("Files", |n| format!("\"{n:x}{}.tex\":\"A\"", "A".repeat(200)))),
        ),
        ("pairs that are no game paths", groups(8, &on("Files", |n| format!("\"{n:x}\":\"\"")))),
        ("swaps", groups(8, &on("FileSwaps", |n| format!("\"{n:x}.tex\":\"b.tex\"")))),
        ("manipulations", groups(8, &on("Manipulations", eqp))),
        ("empty manipulations", groups(8, &on("Manipulations", |_| "{}".into()))),
        ("numbers that grow", groups(8, &on("Manipulations", |_| "1e15".into()))),
        ("nested lists", default(&nested("["))),
        ("nested conditions", default(&nested("{\"a\":"))),
        (
            "many conditions",
            default(&full("{\"Condition\":{\"Type\":\"And\",\"Conditions\":[", |_| "{}".into(), "]}}")),
        ),
        (
            "many ids",
            default(&full("{\"Condition\":{\"Type\":\"AnySetting\",\"Options\":[", |_| "\"\"".into(), "]}}")),
        ),
        ("one long name", pmp(&[("group_1.json", format!("{{\"Name\":{}}}", long("n")).as_bytes())])),
        (
            "one long escaped name",
            pmp(&[("meta.json", format!("{{\"Name\":{}}}", long("\\u0001")).as_bytes())]),
        ),
        ("one long key", default(format!("{{\"Files\":{{{}:\"\"}}}}", long("k")).as_bytes())),
        ("one long file", default(format!("{{\"Files\":{{\"a.tex\":{}}}}}", long("a/")).as_bytes())),
        ("raw control characters", default(format!("{{\"Files\":{{{}:\"\"}}}}", long("\u{1}")).as_bytes())),
        (
            "the same key again and again",
            default(&full("{", |n| format!("\"Files\":{{\"{n:x}.tex\":\"\"}}"), "}")),
        ),
        ("the same list again and again", default(&full("{", |_| "\"Manipulations\":[{}]".into(), "}"))),
        (
            "groups of version 4",
            v4(full("{\"FileVersion\":4,\"Groups\":[", |n| format!("{{\"Name\":\"{n}\"}}"), "]}")),
        ),
        (
            "defaults of version 4",
            v4(full(
                "{\"FileVersion\":4,",
                |n| format!("\"DefaultData\":{{\"Files\":{{\"{n:x}.tex\":\"\"}}}}"),
                "}",
            )),
        ),
        ("nothing but space", groups(9, " ".repeat(JSON_MAX).as_bytes())),
        ("nothing but commas", groups(9, ",".repeat(JSON_MAX).as_bytes())),
        (
            "comments",
            groups(
                8,
                &full(
                    "{\"Name\":\"NAME\",\"Options\":[{\"Files\":{",
                    |n| format!("/**/\"{n:x}.tex\"/*,*/:\"\""),
                    "}}]}",
                ),
            ),
        ),
        ("many files", many_files()),
        ("one entry again and again", repeated(20_000, 20_000)),
        ("more entries than there are", repeated(20_000, 65_535)),
        (
            "64 MiB of nothing",
            pmp(&[("default_mod.json", br#"{"Files":{"a.tex":"a.tex"}}"#), ("a.tex", &vec![0; 64 << 20])]),
        ),
    ]
}

/// Size of the last published document.
fn document(alice: &Resident) -> u64 {
    fs::metadata(alice.data().join("published.bin")).map_or(0, |metadata| metadata.len())
}

#[tokio::test]
async fn no_small_mod_costs_more_than_its_due() {
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    let honest = fyteclub_tests::mods::Mod::new(town.path("honest")).file("chara/a.tex", b"a").write();
    alice.publish(&honest.folder).await;
    let begin = alice.process().memory().expect("its memory");
    let (path, mut faults) = (town.path("hostile.pmp"), Vec::new());
    for (name, bytes) in corpus() {
        assert!(bytes.len() <= INPUT_MAX, "{name}: {} bytes", bytes.len());
        fs::write(&path, &bytes).expect("written");
        let unpacked = unpacked(&path);
        // Memory that the allocator keeps of earlier inputs is not this one's cost; its bound is asserted below.
        let idle = alice.process().memory().expect("its memory");
        let (before, _) = (alice.process().cpu().expect("its time"), alice.process().forget_peak());
        let published = within(name, alice.client().appearance_publish_mod(&path, vec![])).await;
        let seconds = alice.process().cpu().expect("it lives") - before;
        let peak = alice.process().peak().expect("its memory");
        let said = match &published {
            Ok(published) => format!("{} files, {} left out", published.files, published.left_out.len()),
            Err(error) => error.to_string(),
        };
        let document = if published.is_ok() { document(&alice) } else { 0 };
        let over = peak.saturating_sub(idle);
        eprintln!("{name}: {} KiB, {:.2} s: {said}", over >> 10, seconds);
        if over > MEMORY_MAX + 3 * document {
            faults.push(format!("{name}: {over} bytes over idle, with a document of {document}"));
        }
        if seconds > SECONDS_MAX + SECONDS_A_GIB * f64_of(unpacked) / f64::from(1 << 30) {
            faults.push(format!("{name}: {seconds:.2} seconds"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let kept = alice.process().memory().expect("its memory").saturating_sub(begin);
    assert!(kept < 2 * MEMORY_MAX, "{} KiB are kept after all of them", kept >> 10);
    assert_eq!(alice.publish(&honest.folder).await.files, 1, "it goes on");
}

/// Bytes to unpack.
fn unpacked(path: &Path) -> u64 {
    let Ok(mut archive) = zip::ZipArchive::new(fs::File::open(path).expect("it was written")) else {
        return 0;
    };
    (0..archive.len()).filter_map(|number| Some(archive.by_index(number).ok()?.size())).sum()
}

/// A look that ends the daemon while it is read must not end it at every start.
#[tokio::test]
async fn a_look_that_ends_the_daemon_is_not_read_for_ever() {
    let town = Town::new().await;
    let mut alice = town.resident("Alice Ashe@Gilgamesh").await;
    let look = fyteclub_tests::mods::Mod::new(town.path("mod")).file("chara/a.tex", b"a").write();
    alice.publish(&look.folder).await;
    let mark: PathBuf = alice.data().join("published.tries");
    assert!(!mark.exists(), "a reading that ended leaves no mark");
    // As after a reading that killed the daemon three times.
    alice.kill();
    fs::write(&mark, "3").expect("written");
    fs::write(look.folder.join("default_mod.json"), r#"{"Files": {"chara/b.tex": "files/0.tex"}}"#)
        .expect("written");
    alice.start().await;
    let says = "the daemon ended during each of the last scans";
    fyteclub_tests::eventually("it says so", async || alice.process().log().contains(says).then_some(()))
        .await;
    // A person publishes again.
    alice.publish(&look.folder).await;
    assert!(!mark.exists());
}
