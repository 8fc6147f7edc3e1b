//! Options chosen by hand.

use super::*;

/// A Single group `S` (default `B`) and a Multi group `M` (default `A` and `C`), each with options A, B and C.
fn two_groups() -> Mod {
    let options = |group: &str| -> Vec<Value> {
        let of =
            |n: &str| option(&n.to_uppercase(), &format!("{group}/{n}.tex"), &format!("{group}-{n}.tex"));
        ["a", "b", "c"].map(of).into()
    };
    Mod::new()
        .group(1, json!({ "Name": "S", "Type": "Single", "DefaultSettings": 1, "Options": options("s") }))
        .group(2, json!({ "Name": "M", "Type": "Multi", "DefaultSettings": 5, "Options": options("m") }))
}

#[test]
fn choices_replace_the_defaults_of_their_group_only() {
    for (choices, shown) in [
        (&[][..], "m/a.tex m/c.tex s/b.tex"),
        (&["S=C"], "m/a.tex m/c.tex s/c.tex"),
        (&["S=C", "S=C"], "m/a.tex m/c.tex s/c.tex"),
        (&["M=B"], "m/b.tex s/b.tex"),
        (&["M=B", "M=C", "S=A"], "m/b.tex m/c.tex s/a.tex"),
        (&["M="], "s/b.tex"),
        (&["m= b "], "m/b.tex s/b.tex"),
    ] {
        let shown_now: Vec<String> = two_groups().look(choices).into_keys().collect();
        assert_eq!(shown_now.join(" "), shown, "{choices:?}");
    }
}

#[test]
fn wrong_choice_lists_the_options() {
    for (choices, message) in [
        (&["X=A"][..], "this mod has no group `X`; its groups are `S`, `M`"),
        (&["S=D"], "the group `S` has no option `D`; its options are `A`, `B`, `C`"),
        (&["S="], "the group `S` has no option ``; its options are `A`, `B`, `C`"),
        (&["S=A", "S=B"], "the group `S` takes one option, not both `A` and `B`"),
    ] {
        assert_eq!(two_groups().read(choices).unwrap_err().to_string(), message);
    }
    assert_eq!(Mod::new().read(&["X=A"]).unwrap_err().to_string(), "this mod has no group `X`; it has none");
    assert!(matches!("colour".parse::<Choice>(), Err(ModError::Choice(_))));
    let choice: Choice = "Skin=a=b".parse().unwrap();
    assert_eq!((choice.group.as_str(), choice.option.as_str()), ("Skin", "a=b"));
}

#[test]
fn settings_that_do_not_fit_mean_the_nearest_that_do() {
    let group = |kind: &str, settings: Value| {
        let options = [option("A", "a.tex", "a.tex"), option("B", "b.tex", "b.tex")];
        let group = json!({ "Name": "G", "Type": kind, "DefaultSettings": settings, "Options": options });
        Mod::new().group(1, group).look(&[]).into_keys().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(group("Single", json!(7)), "b.tex");
    assert_eq!(group("Single", json!(null)), "a.tex");
    assert_eq!(group("Multi", json!(-1)), "a.tex b.tex");
    assert_eq!(group("Multi", json!(u64::MAX)), "a.tex b.tex");
    assert_eq!(group("Multi", json!("2")), "b.tex");
    let none = json!({ "Name": "G", "Type": "Single", "Options": [] });
    assert!(Mod::new().group(1, none).look(&[]).is_empty());
}
