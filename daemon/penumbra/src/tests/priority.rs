//! Priorities, and the meaning of a group's kind.

use super::*;
use crate::error::GroupFault;

fn group(name: &str, priority: i64, file: &str) -> Value {
    json!({ "Name": name, "Type": "Single", "Priority": priority, "Options": [option("On", "x.tex", file)] })
}

#[test]
fn the_higher_group_wins_then_the_later_one() {
    let base = || Mod::with_files(json!({ "x.tex": "default.tex" }));
    let won = |of: Mod| of.look(&[])["x.tex"].clone();
    assert_eq!(won(base()), "default.tex");
    assert_eq!(won(base().group(1, group("A", -5, "a.tex"))), "a.tex", "the default is below every group");
    assert_eq!(won(base().group(1, group("A", 0, "a.tex")).group(2, group("B", 0, "b.tex"))), "b.tex");
    assert_eq!(won(base().group(1, group("A", 1, "a.tex")).group(2, group("B", 0, "b.tex"))), "a.tex");
    assert_eq!(won(base().group(1, group("A", -2, "a.tex")).group(2, group("B", -2, "b.tex"))), "b.tex");
    assert_eq!(won(base().group(1, group("A", 0, "a.tex")).group(2, group("B", 1, "b.tex"))), "b.tex");
    assert_eq!(won(base().group(10, group("A", 0, "a.tex")).group(9, group("B", 0, "b.tex"))), "a.tex");
    let four = json!({ "FileVersion": 4, "Groups": [group("A", 0, "a.tex"), group("B", 0, "b.tex")] });
    let four = base().text("meta.json", &four.to_string());
    ["a.tex", "b.tex"].iter().for_each(|name| four.file(name));
    assert_eq!(won(four), "b.tex", "version 4");
}

#[test]
fn the_tie_also_decides_swaps_and_manipulations() {
    let eqp = |entry: u64| json!([{ "Type": "Eqp", "Manipulation": { "Entry": entry, "SetId": 1, "Slot": "Body" } }]);
    let group = |name: &str, option: Value| json!({ "Name": name, "Options": [option] });
    let both = Mod::new()
        .group(1, group("A", json!({ "Manipulations": eqp(1) })))
        .group(2, group("B", json!({ "Manipulations": eqp(2) })));
    assert_eq!(manipulations(&both.read(&[]).unwrap()), eqp(2).as_array().unwrap()[..]);
    let both = Mod::new()
        .group(1, group("A", json!({ "Files": { "x.tex": "a.tex" } })))
        .group(2, group("B", json!({ "FileSwaps": { "x.tex": "y.tex" } })));
    let resolved = both.read(&[]).unwrap();
    assert_eq!((resolved.files.len(), resolved.swaps.len()), (0, 1));
    // An option's priority counts only inside its group.
    let mut multi = group("A", json!({ "Files": { "x.tex": "a.tex" }, "Priority": 99 }));
    (multi["Type"], multi["DefaultSettings"]) = (json!("Multi"), json!(1));
    let both = Mod::new().group(1, multi).group(2, group("B", json!({ "Files": { "x.tex": "b.tex" } })));
    assert_eq!(both.look(&[])["x.tex"], "b.tex");
}

#[test]
fn group_files_are_ordered_by_upper_case() {
    // `_` is after `Z` and before `z`.
    let tie = Mod::with_files(json!({ "a.tex": "a.tex", "b.tex": "b.tex" }))
        .text("group_zz.json", &group("A", 0, "a.tex").to_string())
        .text("group__a.json", &group("B", 0, "b.tex").to_string());
    assert_eq!(tie.look(&[])["x.tex"], "b.tex");
}

#[test]
fn multi_group_prefers_higher_then_earlier_options() {
    let options = |priorities: [Value; 2]| {
        let mut options = [option("A", "x.tex", "a.tex"), option("B", "x.tex", "b.tex")];
        for (option, priority) in options.iter_mut().zip(priorities) {
            option["Priority"] = priority;
        }
        json!({ "Name": "G", "Type": "Multi", "DefaultSettings": "3", "Options": options })
    };
    for (priorities, won) in [
        ([json!(0), json!(0)], "a.tex"),
        ([json!(0), json!("1")], "b.tex"),
        ([json!(1), Value::Null], "a.tex"),
    ] {
        assert_eq!(Mod::new().group(1, options(priorities)).look(&[])["x.tex"], won);
    }
}

#[test]
fn files_precede_swaps_and_the_first_spelling_wins() {
    let both = r#"{"FileSwaps": {"a.tex": "z.tex"}, "Files": {"A.tex": "a.tex", "a.tex": "b.tex"}}"#;
    let both = Mod::with_files(json!({ "a.tex": "a.tex", "b.tex": "b.tex" })).text("default_mod.json", both);
    let resolved = both.read(&[]).unwrap();
    assert_eq!((content(&resolved), resolved.swaps.len()), (pairs(&[("a.tex", "a.tex")]), 0));
}

#[test]
fn a_winner_that_is_left_out_is_not_replaced() {
    let missing = Mod::with_files(json!({ "x.tex": "default.tex" })).group(1, group("A", 0, "a.tex"));
    fs::remove_file(missing.path().join("a.tex")).unwrap();
    let resolved = missing.read(&[]).unwrap();
    assert!(resolved.files.is_empty());
    assert_eq!(resolved.left_out[0].to_string(), "x.tex (`a.tex`): missing: the mod has no such file");
}

#[test]
fn a_combining_group_picks_the_container_by_its_bits() {
    let containers: Vec<Value> =
        ["none", "a", "b", "ab"].map(|n| option("", "x.tex", &format!("{n}.tex"))).into();
    let combining = |default: u64| {
        json!({ "Name": "G", "Type": "Combining", "DefaultSettings": default,
                "Options": [{ "Name": "A" }, { "Name": "B" }], "Containers": containers })
    };
    for (default, won) in [(0, "none.tex"), (1, "a.tex"), (2, "b.tex"), (3, "ab.tex"), (9, "ab.tex")] {
        assert_eq!(Mod::new().group(1, combining(default)).look(&[])["x.tex"], won, "{default}");
    }
    let chosen = Mod::new().group(1, combining(1));
    assert_eq!(chosen.look(&["G=B"])["x.tex"], "b.tex");
    assert_eq!(chosen.look(&["G=B", "G=A"])["x.tex"], "ab.tex");
    assert_eq!(chosen.look(&["G="])["x.tex"], "none.tex");
    let short =
        json!({ "Name": "G", "Type": "Combining", "DefaultSettings": 1, "Options": [{ "Name": "A" }] });
    assert!(Mod::new().group(1, short).look(&[]).is_empty(), "a missing container is an empty one");
}

#[test]
fn an_imc_group_flips_attributes_of_one_entry() {
    let imc = |extra: Value| {
        let mut group = json!({ "Name": "G", "Type": "Imc", "DefaultSettings": 1, "Priority": 1,
            "Identifier": { "PrimaryId": 6064, "Variant": 1, "ObjectType": "Equipment" },
            "DefaultEntry": { "MaterialId": 1, "AttributeMask": 3 },
            "Options": [{ "Name": "A", "AttributeMask": 1 }, { "Name": "A again", "AttributeMask": 1 },
                        { "Name": "B", "AttributeMask": 4 }, { "Name": "Off", "IsDisableSubMod": true }] });
        group.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Mod::new().group(1, group)
    };
    let masks = |of: &Mod, choices: &[&str]| -> Vec<u64> {
        let resolved = of.read(choices).unwrap();
        manipulations(&resolved)
            .iter()
            .map(|m| m["Manipulation"]["Entry"]["AttributeMask"].as_u64().unwrap())
            .collect()
    };
    let plain = imc(json!({}));
    assert_eq!(masks(&plain, &[]), [2]);
    assert_eq!(masks(&plain, &["G=B"]), [7]);
    assert_eq!(masks(&plain, &["G=A", "G=Off"]), [0_u64; 0]);
    assert!(matches!(plain.read(&["G=A again"]), Err(ModError::UnknownOption { .. })));

    let all = imc(json!({ "AllVariants": true })).read(&[]).unwrap();
    assert_eq!(
        (manipulations(&all).len(), reasons(&all)[0].1),
        (1, &LeftOutReason::Group(GroupFault::Variants))
    );
    let none = imc(json!({ "Identifier": null })).read(&[]).unwrap();
    assert_eq!(
        (manipulations(&none).len(), reasons(&none)[0].1),
        (0, &LeftOutReason::Group(GroupFault::NoImcEntry))
    );
}

#[test]
fn of_manipulations_of_one_thing_the_first_one_counts() {
    let eqp = |id: Value, entry: u64| json!({ "Type": "Eqp", "Manipulation": { "Entry": entry, "SetId": id, "Slot": "Hands" } });
    let global = json!({ "Type": "GlobalEqp", "Manipulation": { "Type": "DoNotHideHats", "Condition": 0 } });
    let base = json!({ "Manipulations": [eqp(json!("1"), 10), eqp(json!(2), 20), global, global, 7, { "Type": "Eqp" }] });
    let over = json!({ "Name": "G", "Options": [{ "Name": "On", "Manipulations": [eqp(json!(1), 11)] }] });
    let merged = Mod::new().text("default_mod.json", &base.to_string()).group(1, over).read(&[]).unwrap();
    assert_eq!(manipulations(&merged), [eqp(json!(1), 11), eqp(json!(2), 20), global]);
}

#[test]
fn unreadable_group_is_left_out_and_named() {
    let on = || json!([option("On", "x.tex", "x.tex")]);
    let odd = Mod::new()
        .group(1, json!({ "Name": "Same", "Options": [option("On", "y.tex", "y.tex")] }))
        .group(2, json!({ "Name": "New", "Type": "Quantum", "Options": on() }))
        .group(3, json!({ "Name": "", "Options": on() }))
        .group(4, json!({ "Name": "Same", "Options": on() }));
    let resolved = odd.read(&[]).unwrap();
    assert_eq!(content(&resolved), pairs(&[("y.tex", "y.tex")]));
    let told: Vec<String> = resolved.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "``: group: it has no name",
            "`New`: group: its type `Quantum` is not known to this version",
            "`Same`: group: an earlier group has the same name",
        ]
    );
}
