//! JSON carried as text: forwarding it builds no tree.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// One JSON value as its text. `null` by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// # Errors A value that is not JSON (a map with keys other than strings): a mistake of the program.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        to_raw_value(value).map(Self)
    }

    /// # Errors
    /// The text is JSON, but not a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text())
    }

    pub fn text(&self) -> &str {
        self.0.get()
    }
}

/// Ignores spaces and the order of keys. Parses both, so it is for tests.
impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
            || self.read::<Value>().ok().is_some_and(|value| other.read().ok() == Some(value))
    }
}
