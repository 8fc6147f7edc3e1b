//! Files and folders of this user: [`private`] writes them whole or not at all and explains what is wrong with a path,
//! [`plain_folder`] never follows a link.

pub mod plain_folder;
pub mod private;
