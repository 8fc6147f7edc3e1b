//! All stories in one program, one module for each subject: `cargo test -p fyteclub-tests --test stories MODULE`.
//!
//! As many run at once as the machine has cores. A story that loads the machine or compares times begins with
//! `Town::alone` and runs by itself.

mod aiming;
mod both_directions;
mod cache;
mod changing_file;
mod config;
mod contacts;
mod ctl;
mod data_key;
mod disk_full;
mod doctor;
mod families;
mod foreign_text;
mod greedy;
mod half_open;
mod hostile_contact;
// It moves a thread into another network.
#[cfg(target_os = "linux")]
mod hostile_letters;
mod hostile_mods;
mod identity;
mod introduction;
mod large_and_small;
mod launcher;
mod leave_out;
mod liar;
mod limits;
#[cfg(target_os = "linux")]
mod local_network;
mod local_socket;
mod many_sources;
mod modes;
mod moving;
#[cfg(target_os = "linux")]
mod netlab;
mod order;
mod outside;
mod phone_books;
mod phonebook_restart;
mod port_mapping;
mod provenance;
mod relay_only;
mod resume;
mod rotation;
mod sdk_examples;
mod shared_redis;
mod shutdown;
// A process is stopped and continued.
#[cfg(unix)]
mod silence;
mod slow_disk;
mod small_files;
mod stranger;
mod traversal;
mod two_peers;
mod version_skew;
mod warm;
