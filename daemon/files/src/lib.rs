//! Files and folders of this user: [`private`] writes them whole or not at all, [`regular`] opens regular files only,
//! [`plain_folder`] never follows a link, [`trouble`] explains what is wrong with a path.

pub mod plain_folder;
pub mod private;
pub mod regular;
pub mod trouble;
