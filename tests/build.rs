//! Tells the tests which target they are built for: a target folder does not say whether one of its folders is a
//! target's or a profile's.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").expect("cargo sets it");
    println!("cargo::rustc-env=FYTECLUB_TARGET={target}");
}
