//! Tells the tests which target they are built for: the path of a build folder does not say whether a part of it is a
//! target or a profile.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").expect("cargo sets it");
    println!("cargo::rustc-env=FYTECLUB_TARGET={target}");
}
