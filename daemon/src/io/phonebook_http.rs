//! One request to one phone book, one answer, one timeout. When to ask and whom, others decide.

use fyteclub_proto::{
    id::{PeerId, PlayerName},
    limit::PHONEBOOK_BODY_MAX,
    phonebook::{Found, Problem, Register, Unregister},
};
use reqwest::{Method, Response, StatusCode, Url};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PhonebookError {
    #[error("`{0}` is no phone book's address: it reads http://HOST:PORT or https://HOST")]
    Url(String),
    #[error("the phone book does not answer ({0})")]
    Unreachable(String),
    #[error("the phone book refuses: {0}")]
    Refused(String),
    #[error("the phone book's answer makes no sense ({0})")]
    Malformed(String),
}

/// Where a player is, and with which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub addr: SocketAddr,
    pub peer: PeerId,
}

/// A client of one phone book. Keeps its connection alive between requests.
#[derive(Debug, Clone)]
pub struct PhonebookHttp {
    base: Url,
    http: reqwest::Client,
}

impl PhonebookHttp {
    /// # Errors
    /// Text that is no http(s) URL.
    pub fn new(url: &str, http: reqwest::Client) -> Result<Self, PhonebookError> {
        let bad = || PhonebookError::Url(url.to_owned());
        let base = Url::parse(url).map_err(|_| bad())?;
        let usable = matches!(base.scheme(), "http" | "https") && base.has_host() && !base.cannot_be_a_base();
        if usable { Ok(Self { base, http }) } else { Err(bad()) }
    }

    /// The client that all phone books of a daemon share.
    ///
    /// # Errors
    /// The machine's TLS roots cannot be loaded.
    pub fn client() -> Result<reqwest::Client, PhonebookError> {
        // Another part of the process may have installed the same provider already.
        rustls::crypto::ring::default_provider().install_default().ok();
        reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .user_agent(concat!("fyteclubd/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .build()
            .map_err(|error| PhonebookError::Unreachable(chain(&error)))
    }

    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// # Errors
    /// No answer, or a refusal with the phone book's words.
    pub async fn register(&self, body: &Register) -> Result<(), PhonebookError> {
        self.send(Method::POST, &["api", "register"], Some(body)).await.and_then(ok)?;
        Ok(())
    }

    /// # Errors
    /// As for registering.
    pub async fn unregister(&self, body: &Unregister) -> Result<(), PhonebookError> {
        self.send(Method::DELETE, &["api", "unregister"], Some(body)).await.and_then(ok)?;
        Ok(())
    }

    /// `None` when this phone book knows no such player.
    ///
    /// # Errors
    /// No answer, a refusal, or an entry without a usable address and key.
    pub async fn lookup(&self, player: &PlayerName) -> Result<Option<Entry>, PhonebookError> {
        let (status, body) = self.send::<()>(Method::GET, &["api", "lookup", player.as_str()], None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let found: Found = read(&ok((status, body))?)?;
        let malformed = |what: &str| PhonebookError::Malformed(what.to_owned());
        let ip: IpAddr =
            found.ip.and_then(|ip| ip.parse().ok()).ok_or_else(|| malformed("its address is none"))?;
        let port = found.port.filter(|port| *port != 0).ok_or_else(|| malformed("its port is none"))?;
        let key = found.public_key.ok_or_else(|| malformed("the player has no key"))?;
        let peer = key.parse().map_err(|error| malformed(&format!("{error}")))?;
        Ok(Some(Entry { addr: SocketAddr::new(ip, port), peer }))
    }

    async fn send<T: Serialize>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&T>,
    ) -> Result<(StatusCode, Vec<u8>), PhonebookError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| PhonebookError::Url(self.base.to_string()))?
            .pop_if_empty()
            .extend(path);
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| PhonebookError::Unreachable(chain(&error));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        Ok((status, limited(response).await?))
    }
}

/// A stranger's body is read to the limit and no further.
async fn limited(mut response: Response) -> Result<Vec<u8>, PhonebookError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| PhonebookError::Unreachable(chain(&error)))?
    {
        if body.len() + chunk.len() > PHONEBOOK_BODY_MAX {
            return Err(PhonebookError::Malformed("its answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn ok((status, body): (StatusCode, Vec<u8>)) -> Result<Vec<u8>, PhonebookError> {
    if status.is_success() {
        return Ok(body);
    }
    let said =
        serde_json::from_slice::<Problem>(&body).map_or_else(|_| String::new(), |problem| problem.error);
    let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    Err(PhonebookError::Refused(if said.is_empty() { status.to_string() } else { said }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, PhonebookError> {
    serde_json::from_slice(body).map_err(|error| PhonebookError::Malformed(error.to_string()))
}

/// The innermost cause says what happened; the outer ones repeat the URL.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
