//! A generated sample mod with every kind of file that real ones have.

use serde_json::json;
use std::{collections::BTreeMap, fs, io, path::Path};

/// Deterministic noise (xorshift64*), so that every demo is the same.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// `entropy` of 256 means incompressible; less repeats more.
    fn bytes(&mut self, len: usize, entropy: u64) -> Vec<u8> {
        (0..len.div_ceil(8))
            .flat_map(|_| self.next().to_le_bytes())
            .map(|byte| u8::try_from(u64::from(byte) % entropy).expect("no more than the byte"))
            .take(len)
            .collect()
    }
}

/// Writes about 40 MB in about 150 files, with options, duplicates, empty and large files, back-slashes, a BOM and
/// names that need care.
///
/// # Errors
/// The machine's.
pub(crate) fn write(dir: &Path) -> io::Result<()> {
    let mut noise = Noise(0x5eed);
    let mut files = BTreeMap::new();
    let mut add = |game: String, disk: &str, content: &[u8]| -> io::Result<()> {
        let path = dir.join(disk.replace('\\', "/"));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
        files.insert(game, disk.to_owned());
        Ok(())
    };
    // Textures: a large one that compresses, one that does not, and usual sizes.
    add(
        "chara/equipment/e9001/texture/v01_c0101e9001_top_n.tex".into(),
        "textures\\Top Normal.tex",
        &noise.bytes(11 << 20, 40),
    )?;
    add(
        "chara/equipment/e9001/texture/v01_c0101e9001_top_d.tex".into(),
        "textures\\Top Diffuse.tex",
        &noise.bytes(11 << 20, 256),
    )?;
    for n in 0..8 {
        let entropy = if n % 2 == 0 { 24 } else { 256 };
        let game = format!("chara/equipment/e90{n:02}/texture/v01_c0201e90{n:02}_dwn_n.tex");
        add(game, &format!("textures\\dwn {n}.tex"), &noise.bytes(1_400_000, entropy))?;
    }
    for n in 0..6 {
        let game = format!("chara/equipment/e90{n:02}/model/c0101e90{n:02}_glv.mdl");
        add(game, &format!("models\\Gants été {n}.mdl"), &noise.bytes(400_000 + 10_000 * n, 90))?;
    }
    // An animation pack: many small files.
    for n in 0..120 {
        let game = format!("chara/human/c0101/animation/a0001/bt_common/emote/pose_{n:03}.pap");
        add(game, &format!("animations\\pose_{n:03}.pap"), &noise.bytes(2_000 + 37 * n, 120))?;
    }
    // The same bytes under two names, and one empty file.
    let twin = noise.bytes(900_000, 60);
    add("chara/human/c0101/obj/tail/t0001/texture/tail_d.tex".into(), "tails\\one.tex", &twin)?;
    add("chara/human/c0201/obj/tail/t0001/texture/tail_d.tex".into(), "tails\\the same.tex", &twin)?;
    add("chara/human/c0301/obj/tail/t0001/texture/tail_d.tex".into(), "tails\\empty.tex", b"")?;
    let material = noise.bytes(1_500, 30);
    for option in ["Rose", "Lilac"] {
        let path = dir.join(format!("colours/{option}.mtrl"));
        fs::create_dir_all(dir.join("colours"))?;
        fs::write(path, [material.as_slice(), option.as_bytes()].concat())?;
    }

    let meta = json!({
        "FileVersion": 3, "Name": "FyteClub sample", "Author": "FyteClub", "Version": "1", "Website": "",
        "Description": "Made by the demo.", "ModTags": []
    });
    let default =
        json!({ "Name": "", "Description": "", "Files": files, "FileSwaps": {}, "Manipulations": [] });
    let option = |name: &str| {
        json!({
            "Name": name, "Description": "", "FileSwaps": {}, "Manipulations": [],
            "Files": { "chara/equipment/e9001/material/v0001/mt_c0101e9001_top_a.mtrl": format!("colours\\{name}.mtrl") }
        })
    };
    let group = json!({
        "Name": "Colour", "Description": "", "Priority": 1, "Type": "Single", "DefaultSettings": 1,
        "Options": [option("Rose"), option("Lilac")]
    });
    fs::write(dir.join("meta.json"), meta.to_string())?;
    // Real mods often begin with a byte order mark.
    fs::write(dir.join("default_mod.json"), format!("\u{feff}{default:#}"))?;
    fs::write(dir.join("group_001_colour.json"), format!("{group:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_is_a_mod_with_nothing_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("mod");
        write(&path).expect("written");
        let resolved = fyteclub_penumbra::read(&path, &[], &dir.path().join("scratch")).expect("a mod");
        assert_eq!(resolved.left_out.len(), 0, "{:?}", resolved.left_out);
        assert!(resolved.files.len() > 130);
        let total: u64 = resolved.files.iter().map(|file| file.size).sum();
        assert!((30_000_000..60_000_000).contains(&total), "{total}");
    }
}
