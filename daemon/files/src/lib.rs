//! Files and folders of this user: [`private`] writes them whole or not at all, [`plain_folder`] never follows a link,
//! [`trouble`] explains what is wrong with a path.

#![warn(unreachable_pub, clippy::let_underscore_must_use, clippy::match_bool)]
#![cfg_attr(not(test), warn(clippy::as_conversions))]

pub mod plain_folder;
pub mod private;
pub mod trouble;
