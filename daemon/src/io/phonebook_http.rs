//! One request to one phone book, one answer, one timeout. Other modules decide when to send it, and to which phone
//! book.

use base64::{Engine, engine::general_purpose::STANDARD};
use fyteclub_proto::{
    foreign::Foreign,
    id::PeerId,
    limit::{LIVE_MESSAGE_MAX, LIVE_QUEUE_MAX, PHONEBOOK_BODY_MAX},
    live::Lost,
    phonebook::{
        Found, Problem, Register, Unregister,
        live::{CloseReason, Poll, Polled},
    },
};
use reqwest::{
    Method, Response, StatusCode, Upgraded, Url,
    header::{
        CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The timeout of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer to a poll: a full queue.
const POLLED_MAX: usize = (LIVE_QUEUE_MAX + 1) * LIVE_MESSAGE_MAX;

#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PhonebookError {
    #[error("`{0}` is no phone book's address: it reads http://HOST:PORT or https://HOST")]
    Url(String),
    /// A library's text may quote a stranger, for example the names of a certificate.
    #[error("the phone book does not answer ({0})")]
    Unreachable(Foreign),
    #[error("the phone book refuses: {0}")]
    Refused(Foreign),
    #[error(
        "your name belongs to another key there: bring identity.key from where you used the name before, or wait until it is free, usually a week after that"
    )]
    NameTaken,
    #[error("this machine's clock is off by {} s", .ahead.unsigned_abs() / 1000)]
    Clock {
        /// Milliseconds ahead of the phone book's.
        ahead: i64,
    },
    #[error("the phone book has a newer message of this daemon's key")]
    Stale { newest: u64 },
    #[error("the phone book's answer makes no sense ({0})")]
    Malformed(Foreign),
}

/// A player's key, and the addresses of a listed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub addr: Option<SocketAddr>,
    pub peer: PeerId,
}

/// Why a poll failed.
#[derive(Debug)]
pub enum Unheard {
    Lost(Lost),
    /// Two polls ran, and the later one arrived first. This one had no effect.
    Overtaken {
        newest: u64,
    },
}

impl From<Lost> for Unheard {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// Whether a text can be a phone book's address.
pub fn is_address(url: &str) -> bool {
    parse(url).is_some()
}

fn parse(url: &str) -> Option<Url> {
    let base = Url::parse(url).ok()?;
    let usable = matches!(base.scheme(), "http" | "https") && base.has_host() && !base.cannot_be_a_base();
    usable.then_some(base)
}

/// A client of one phone book. Keeps its connection alive between requests.
#[derive(Debug, Clone)]
pub struct PhonebookHttp {
    base: Url,
    http: reqwest::Client,
    /// The remote address of its last answer; shared by clones.
    remote: Arc<Mutex<Option<IpAddr>>>,
}

impl PhonebookHttp {
    /// # Errors
    /// The text is no http(s) URL.
    pub fn new(url: &str, http: reqwest::Client) -> Result<Self, PhonebookError> {
        let base = parse(url).ok_or_else(|| PhonebookError::Url(url.to_owned()))?;
        Ok(Self { base, http, remote: Arc::default() })
    }

    /// The client that all phone books of a daemon share.
    ///
    /// # Errors
    /// The machine's TLS roots cannot be loaded.
    pub fn client() -> Result<reqwest::Client, PhonebookError> {
        // Another part of the process may have installed the same provider.
        rustls::crypto::ring::default_provider().install_default().ok();
        reqwest::Client::builder()
            .connect_timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(1)
            .user_agent(concat!("fyteclubd/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .build()
            .map_err(|error| PhonebookError::Unreachable(chain(&error)))
    }

    /// Uses this client's connections from now on.
    pub fn use_client(&mut self, http: reqwest::Client) {
        self.http = http;
    }

    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The address of the phone book in its last answer; `None` before the first.
    pub fn remote(&self) -> Option<IpAddr> {
        *self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, response: &Response) {
        if let Some(addr) = response.remote_addr() {
            *self.remote.lock().unwrap_or_else(PoisonError::into_inner) = Some(addr.ip().to_canonical());
        }
    }

    /// # Errors
    /// No answer, or a refusal with the phone book's text.
    pub async fn register(&self, body: &Register) -> Result<(), PhonebookError> {
        self.send(Method::POST, &["api", "register"], Some(body)).await.and_then(ok)?;
        Ok(())
    }

    /// # Errors
    /// Those of [`Self::register`].
    pub async fn unregister(&self, body: &Unregister) -> Result<(), PhonebookError> {
        self.send(Method::DELETE, &["api", "unregister"], Some(body)).await.and_then(ok)?;
        Ok(())
    }

    /// `None` if this phone book has no such name, or lists it to nobody.
    ///
    /// # Errors
    /// No answer, a refusal, or an entry without a usable key.
    pub async fn lookup(&self, name: &str) -> Result<Option<Entry>, PhonebookError> {
        let (status, body) = self.send::<()>(Method::GET, &["api", "lookup", name], None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let found: Found = read(&ok((status, body))?)?;
        let malformed = |what: &str| PhonebookError::Malformed(Foreign::new(what));
        let addr = match (&found.ip, found.port) {
            (None, _) => None,
            (Some(ip), port) => {
                let ip: IpAddr = ip.parse().map_err(|_| malformed("its address is none"))?;
                let port = port.filter(|port| *port != 0).ok_or_else(|| malformed("its port is none"))?;
                Some(SocketAddr::new(ip, port))
            }
        };
        let key = found.public_key.ok_or_else(|| malformed("the player has no key"))?;
        let peer = key.parse().map_err(|error| malformed(&format!("{error}")))?;
        Ok(Some(Entry { addr, peer }))
    }

    /// The receiver's name in a greeting: host, and port unless it is the scheme's default.
    pub fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default().to_lowercase();
        self.base.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    /// Requests a WebSocket at `/api/live`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn upgrade(&self) -> Result<Upgraded, Lost> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| Lost::Broken)?;
        let nonce = STANDARD.encode(nonce);
        let url = self.url_of(&["api", "live"]).map_err(|_| Lost::Unsupported)?;
        let request = self.http.get(url).header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, &nonce);
        let response = request.send().await.map_err(|error| {
            tracing::debug!("phone book {}: {}", self.url(), chain(&error));
            if error.is_connect() || error.is_timeout() { Lost::Unreachable } else { Lost::Broken }
        })?;
        self.answered(&response);
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {}
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return Err(Lost::Closed(CloseReason::Limited, retry_after(&response)));
            }
            StatusCode::NOT_FOUND => return Err(Lost::Unsupported),
            _ => return Err(Lost::NoUpgrade),
        }
        let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes().to_vec());
        if accept != Some(derive_accept_key(nonce.as_bytes()).into_bytes()) {
            return Err(Lost::NoUpgrade);
        }
        response.upgrade().await.map_err(|_| Lost::NoUpgrade)
    }

    /// Sends messages and waits for messages.
    ///
    /// # Errors
    /// Why the conversation cannot go on, or that a poll with a higher sequence arrived first.
    pub async fn poll(&self, poll: &Poll) -> Result<Polled, Unheard> {
        let url = self.url_of(&["api", "live"]).map_err(|_| Lost::Unsupported)?;
        let time = Duration::from_millis(poll.wait) + PATIENCE;
        let request = self.http.post(url).json(poll).timeout(time);
        let response = request
            .send()
            .await
            .map_err(|error| if error.is_connect() { Lost::Unreachable } else { Lost::Broken })?;
        self.answered(&response);
        let status = response.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return Err(Lost::Closed(CloseReason::Limited, retry_after(&response)).into());
        }
        if status == StatusCode::NOT_FOUND {
            return Err(Lost::Unsupported.into());
        }
        let body = limited(response, POLLED_MAX).await.map_err(|_| Lost::Broken)?;
        if status.is_success() {
            return read(&body).map_err(|_| Lost::Broken.into());
        }
        let problem = serde_json::from_slice::<Problem>(&body).unwrap_or_default();
        Err(match problem.clock_offset {
            Some(ahead) => Lost::Closed(CloseReason::ClockSkew, format!("clock_skew:{ahead}")),
            None if problem.code.as_deref() == Some("replaced") => {
                Lost::Closed(CloseReason::Replaced, String::new())
            }
            None => match problem.sequence {
                Some(newest) => return Err(Unheard::Overtaken { newest }),
                None => Lost::Closed(CloseReason::BadHello, Foreign::new(&problem.error).to_string()),
            },
        }
        .into())
    }

    fn url_of(&self, path: &[&str]) -> Result<Url, PhonebookError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| PhonebookError::Url(self.base.to_string()))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    async fn send<T: Serialize>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&T>,
    ) -> Result<(StatusCode, Vec<u8>), PhonebookError> {
        let mut request = self.http.request(method, self.url_of(path)?).timeout(PATIENCE);
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| PhonebookError::Unreachable(chain(&error));
        let response = request.send().await.map_err(unreachable)?;
        self.answered(&response);
        let status = response.status();
        Ok((status, limited(response, PHONEBOOK_BODY_MAX).await?))
    }
}

/// In the form of a close frame's text.
fn retry_after(response: &Response) -> String {
    let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    format!("retry_after:{}", value.unwrap_or("30"))
}

/// Reads a body up to the limit and no further.
async fn limited(mut response: Response, max: usize) -> Result<Vec<u8>, PhonebookError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| PhonebookError::Unreachable(chain(&error)))?
    {
        if body.len() + chunk.len() > max {
            return Err(PhonebookError::Malformed(Foreign::new("it is too long")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn ok((status, body): (StatusCode, Vec<u8>)) -> Result<Vec<u8>, PhonebookError> {
    if status.is_success() {
        return Ok(body);
    }
    let problem = serde_json::from_slice::<Problem>(&body).unwrap_or_default();
    match (problem.clock_offset, problem.sequence) {
        (Some(ahead), _) => return Err(PhonebookError::Clock { ahead }),
        (None, Some(newest)) => return Err(PhonebookError::Stale { newest }),
        (None, None) if problem.code.as_deref() == Some("name_taken") => {
            return Err(PhonebookError::NameTaken);
        }
        (None, None) => {}
    }
    let said = Foreign::new(&problem.error);
    Err(PhonebookError::Refused(if said.is_empty() { Foreign::new(&status.to_string()) } else { said }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, PhonebookError> {
    serde_json::from_slice(body).map_err(|error| PhonebookError::Malformed(Foreign::new(&error.to_string())))
}

/// The innermost cause has the reason; the outer ones repeat the URL.
fn chain(error: &dyn std::error::Error) -> Foreign {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Foreign::new(&innermost.to_string())
}
