//! Limits of speed, for all peers and for each.

use crate::size;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Below this a chunk takes longer than a receiver waits.
pub const RATE_MIN: u64 = 16 * 1024;

/// Bytes a second, at least [`RATE_MIN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Rate(u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    #[error("a limit of {} a second is too low: it must be at least {} a second, or off", size::words(*.0), size::words(RATE_MIN))]
    TooLow(u64),
    #[error("`{0}` is not a limit: write `2 MiB` for two mebibytes a second, or `off`")]
    Unreadable(String),
}

impl Rate {
    pub fn bytes_a_second(self) -> u64 {
        self.0
    }

    /// `2 MiB`, `2MiB/s`; `None` for `off`.
    ///
    /// # Errors Not a size, or below the minimum.
    pub fn parse(text: &str) -> Result<Option<Self>, RateError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(None);
        }
        let bytes = size::parse(text.strip_suffix("/s").unwrap_or(text));
        bytes.ok_or_else(|| RateError::Unreadable(text.into()))?.try_into().map(Some)
    }
}

impl TryFrom<u64> for Rate {
    type Error = RateError;

    fn try_from(bytes: u64) -> Result<Self, RateError> {
        if bytes < RATE_MIN { Err(RateError::TooLow(bytes)) } else { Ok(Self(bytes)) }
    }
}

impl From<Rate> for u64 {
    fn from(rate: Rate) -> Self {
        rate.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", size::words(self.0))
    }
}

/// All limits. `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// To all peers together.
    pub upload: Option<Rate>,
    /// From all peers together.
    pub download: Option<Rate>,
    /// To any one peer.
    pub peer_upload: Option<Rate>,
    /// From any one peer.
    pub peer_download: Option<Rate>,
    /// Whether they apply to peers in the local network and on this machine too.
    pub lan: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { upload: None, download: None, peer_upload: None, peer_download: None, lan: true }
    }
}

/// A change of some limits. Absent ones stay; `null` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Change {
    /// To all peers together.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub upload: Option<Option<Rate>>,
    /// From all peers together.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub download: Option<Option<Rate>>,
    /// To any one peer.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub peer_upload: Option<Option<Rate>>,
    /// From any one peer.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub peer_download: Option<Option<Rate>>,
    /// Whether they apply to peers in the local network and on this machine too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lan: Option<bool>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    #[must_use]
    pub fn over(&self, limits: Limits) -> Limits {
        Limits {
            upload: self.upload.unwrap_or(limits.upload),
            download: self.download.unwrap_or(limits.download),
            peer_upload: self.peer_upload.unwrap_or(limits.peer_upload),
            peer_download: self.peer_download.unwrap_or(limits.peer_download),
            lan: self.lan.unwrap_or(limits.lan),
        }
    }

    /// This change after an earlier one.
    #[must_use]
    pub fn after(&self, earlier: Self) -> Self {
        Self {
            upload: self.upload.or(earlier.upload),
            download: self.download.or(earlier.download),
            peer_upload: self.peer_upload.or(earlier.peer_upload),
            peer_download: self.peer_download.or(earlier.peer_download),
            lan: self.lan.or(earlier.lan),
        }
    }
}

/// A present key, also with `null`.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<Rate>>, D::Error> {
    Option::deserialize(value).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_people_write_them() {
        let rate = |bytes| Ok(Some(Rate(bytes)));
        assert_eq!(Rate::parse("2MiB/s"), rate(2 << 20));
        assert_eq!(Rate::parse("16 KiB"), rate(RATE_MIN));
        assert_eq!(Rate::parse("Off"), Ok(None));
        assert_eq!(
            Rate::parse("2 MiB").map(|rate| rate.map(|rate| rate.to_string())),
            Ok(Some("2 MiB/s".into()))
        );
    }

    #[test]
    fn a_change_tells_unlimited_from_unsaid() {
        let change: Change = serde_json::from_str(r#"{"upload":null,"peerDownload":20000}"#).expect("read");
        assert_eq!((change.upload, change.download), (Some(None), None));
        assert_eq!(
            serde_json::to_string(&change).expect("written"),
            r#"{"upload":null,"peerDownload":20000}"#
        );
        let before = Limits { upload: Some(Rate(50_000)), download: Some(Rate(60_000)), ..Limits::default() };
        let after = change.over(before);
        assert_eq!(
            (after.upload, after.download, after.peer_download),
            (None, before.download, Some(Rate(20_000)))
        );
        let both =
            change.after(Change { upload: Some(before.upload), lan: Some(false), ..Change::default() });
        assert_eq!(both.over(before), Limits { lan: false, ..after });
    }

    #[test]
    fn limit_below_the_minimum_names_the_minimum() {
        let error = Rate::parse("16383").expect_err("one byte below");
        assert_eq!(error, RateError::TooLow(16_383));
        assert!(error.to_string().contains("at least 16 KiB a second, or off"), "{error}");
        assert!(Rate::parse("fast").expect_err("no number").to_string().contains("2 MiB"));
        assert!(serde_json::from_str::<Limits>(r#"{"upload":5,"lan":true}"#).is_err());
    }
}
