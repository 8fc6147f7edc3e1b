//! The address of a shared Redis, and the secret that hashes its keys.

#[cfg(feature = "redis")]
use redis::{Client, ConnectionAddr, IntoConnectionInfo};
use std::{fmt, str::FromStr};

/// The text is no supported Redis URL, or the program was built without Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "redis"), error("this program was built without Redis"))]
#[cfg_attr(
    feature = "redis",
    error(
        "a Redis is `redis://[user:password@]host[:port][/db]` or `unix:///path/of/socket`; for TLS, put a tunnel before it"
    )
)]
pub struct NotAPlace;

/// A Redis shared by phone books of one name. A build without the feature `redis` parses none.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    url: String,
    /// Hash of the configured secret.
    secret: Option<[u8; 32]>,
}

impl Place {
    /// All phone books of the name need the same secret. Without one, a reader of Redis can guess names.
    #[must_use]
    pub fn with_secret(self, secret: &str) -> Self {
        Self { secret: Some(*blake3::hash(secret.as_bytes()).as_bytes()), ..self }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn client(&self) -> Result<Client, redis::RedisError> {
        Client::open(self.url.as_str())
    }

    #[cfg(feature = "redis")]
    pub(crate) fn secret(&self) -> Option<&[u8; 32]> {
        self.secret.as_ref()
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    #[cfg(not(feature = "redis"))]
    fn from_str(_: &str) -> Result<Self, NotAPlace> {
        Err(NotAPlace)
    }

    #[cfg(feature = "redis")]
    fn from_str(url: &str) -> Result<Self, NotAPlace> {
        let info = url.into_connection_info().map_err(|_| NotAPlace)?;
        match info.addr() {
            ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) => {
                Client::open(url).map_err(|_| NotAPlace)?;
                Ok(Self { url: url.to_owned(), secret: None })
            }
            _ => Err(NotAPlace),
        }
    }
}

/// The URL may hold a password.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(…)")
    }
}

#[cfg(test)]
#[cfg(feature = "redis")]
mod tests {
    use super::*;

    #[test]
    fn redis_url_is_checked_and_never_shown() {
        // Only on Unix.
        assert_eq!("unix:///run/redis/redis.sock".parse::<Place>().is_ok(), cfg!(unix));
        for good in ["redis://127.0.0.1:6379", "redis://:secret@redis.internal/2", "redis://[::1]:7000"] {
            let place: Place = good.parse().unwrap();
            assert!(!format!("{place:?}").contains("secret"), "{good}");
        }
        for bad in ["", "127.0.0.1:6379", "http://127.0.0.1", "rediss://redis.internal", "redis://"] {
            assert_eq!(bad.parse::<Place>(), Err(NotAPlace), "{bad}");
        }
    }
}
