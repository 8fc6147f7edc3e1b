//! Authentication: the password, server names, and signed bodies.

mod freshness;
mod password;
mod server_names;
mod signed_body;

pub(crate) use freshness::{check_sequence, check_time};
pub(crate) use password::check_password;
pub(crate) use server_names::{ServerNames, requested_host};
pub(crate) use signed_body::{Audience, signed_register, signed_unregister};
