//! Files and folders that are this user's own: [`private`] writes them whole or not at all and says what is wrong with a
//! path, [`plain_folder`] never follows a link.

pub mod plain_folder;
pub mod private;
