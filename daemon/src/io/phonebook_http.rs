//! One request to one phone book, one answer, one timeout. Other modules decide when to send it, and to which phone
//! book.

use super::{http_date, wall_clock::unix_millis};
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
        CONNECTION, CONTENT_TYPE, DATE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The timeout of an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting may take, over all addresses: a packet is lost twice, or one address is silent and the next one is
/// tried. Shorter than a greeting may take, so that silence is not taken for a proxy that blocks WebSockets.
const CONNECT_TIME: Duration = Duration::from_secs(4);
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
    /// Its words begin as those of a live connection without an answer: the log says one of them.
    #[error(
        "the phone book does not answer, but {0} does: sign in to this network if it asks for that, or check the phone book's address"
    )]
    Stranger(Foreign),
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

impl PhonebookError {
    /// No answer in this time.
    pub fn silent(time: Duration) -> Self {
        Self::Unreachable(Foreign::new(&format!("nothing came within {} s", time.as_secs())))
    }

    /// Whether the phone book itself said it.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Url(_) | Self::Unreachable(_) | Self::Stranger(_))
    }
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
    /// Shared by clones.
    last: Arc<Mutex<LastAnswer>>,
}

/// What a phone book's last answer shows beside its body.
#[derive(Debug, Clone, Copy, Default)]
struct LastAnswer {
    remote: Option<IpAddr>,
    clock_ahead: Option<i64>,
}

impl PhonebookHttp {
    /// # Errors
    /// The text is no http(s) URL.
    pub fn new(url: &str, http: reqwest::Client) -> Result<Self, PhonebookError> {
        let base = parse(url).ok_or_else(|| PhonebookError::Url(url.to_owned()))?;
        Ok(Self { base, http, last: Arc::default() })
    }

    /// The client that all phone books of a daemon share.
    ///
    /// # Errors
    /// The machine's TLS roots cannot be loaded.
    pub fn client() -> Result<reqwest::Client, PhonebookError> {
        // Another part of the process may have installed the same provider.
        rustls::crypto::ring::default_provider().install_default().ok();
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
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
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remote
    }

    /// By how many seconds this machine's clock was ahead of the phone book's at its last answer, by the answer's `Date`
    /// and so within about two seconds. `None` before the first answer, and without a date.
    pub fn clock_ahead(&self) -> Option<i64> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clock_ahead
    }

    /// Notes what a phone book's answer shows, and returns what answered if that is none.
    fn answered(&self, response: &Response) -> Option<Foreign> {
        if let Some(stranger) = stranger(response) {
            return Some(stranger);
        }
        let date = response.headers().get(DATE).and_then(|date| http_date::unix_secs(date.to_str().ok()?));
        let here = i64::try_from(unix_millis() / 1000).ok();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(addr) = response.remote_addr() {
            last.remote = Some(addr.ip().to_canonical());
        }
        if let Some((here, there)) = here.zip(date) {
            last.clock_ahead = Some(here - there);
        }
        None
    }

    /// # Errors
    /// No answer, or a refusal with the phone book's text.
    pub async fn register(&self, body: &Register) -> Result<(), PhonebookError> {
        let answer = self.send(Method::POST, &["api", "register"], Some(body)).await?;
        done(answer)
    }

    /// # Errors
    /// Those of [`Self::register`].
    pub async fn unregister(&self, body: &Unregister) -> Result<(), PhonebookError> {
        let answer = self.send(Method::DELETE, &["api", "unregister"], Some(body)).await?;
        done(answer)
    }

    /// `None` if this phone book has no such name, or lists it to nobody.
    ///
    /// # Errors
    /// No answer, a refusal, or an entry without a usable key.
    pub async fn lookup(&self, name: &str) -> Result<Option<Entry>, PhonebookError> {
        let (status, body) = self.send::<()>(Method::GET, &["api", "lookup", name], None).await?;
        if status == StatusCode::NOT_FOUND {
            let is_its_own = serde_json::from_slice::<Problem>(&body).is_ok();
            return if is_its_own { Ok(None) } else { Err(unknown(status)) };
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

    /// Of the URL; an IPv6 address without brackets.
    pub fn host_and_port(&self) -> (String, u16) {
        let host = self.base.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        (bare.to_owned(), self.base.port_or_known_default().unwrap_or_default())
    }

    /// The receiver's name in a greeting: host, and port unless it is the scheme's default.
    pub fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default().to_lowercase();
        self.base.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
    }

    /// Requests a WebSocket at `/api/` and this name.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn upgrade(&self, name: &str) -> Result<Upgraded, Lost> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| Lost::Broken)?;
        let nonce = STANDARD.encode(nonce);
        let url = self.url_of(&["api", name]).map_err(|_| Lost::Unsupported)?;
        let request = self.http.get(url).header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, &nonce);
        let response = request.send().await.map_err(|error| {
            tracing::debug!("phone book {}: {}", self.url(), chain(&error));
            lost(&error)
        })?;
        if self.answered(&response).is_some() {
            return Err(Lost::Unreachable);
        }
        refusal(&response)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Lost::NoUpgrade);
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
        let time = Duration::from_millis(poll.wait) + TIMEOUT;
        let request = self.http.post(url).json(poll).timeout(time);
        let response = request.send().await.map_err(|error| lost(&error))?;
        if self.answered(&response).is_some() {
            return Err(Lost::Unreachable.into());
        }
        refusal(&response)?;
        let status = response.status();
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
        let mut request = self.http.request(method, self.url_of(path)?).timeout(TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |error: reqwest::Error| PhonebookError::Unreachable(chain(&error));
        let response = request.send().await.map_err(unreachable)?;
        if let Some(stranger) = self.answered(&response) {
            return Err(PhonebookError::Stranger(stranger));
        }
        let status = response.status();
        Ok((status, limited(response, PHONEBOOK_BODY_MAX).await?))
    }
}

/// How a request ended that was not answered.
fn lost(error: &reqwest::Error) -> Lost {
    if is_refused(error) {
        Lost::Refused
    } else if error.is_connect() {
        Lost::Unreachable
    } else {
        Lost::Broken
    }
}

/// Whether the system refused the connection at once.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut causes =
        std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source());
    let at_once = |error: &io::Error| {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
        matches!(error.kind(), AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable)
    };
    error.is_connect() && causes.any(|cause| cause.downcast_ref().is_some_and(at_once))
}

/// What an answer's status says of the live connection, whatever its body.
fn refusal(response: &Response) -> Result<(), Lost> {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    match (status, retry_after) {
        (StatusCode::TOO_MANY_REQUESTS, _) | (StatusCode::SERVICE_UNAVAILABLE, Some(_)) => {
            // In the form of a close frame's text.
            let text = format!("retry_after:{}", retry_after.unwrap_or("30"));
            Err(Lost::Closed(CloseReason::Limited, text))
        }
        (StatusCode::NOT_FOUND, _) => Err(Lost::Unsupported),
        // A proxy whose phone book is away.
        _ if status.is_server_error() => Err(Lost::Unreachable),
        _ => Ok(()),
    }
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

/// What answered, if that is a web server of another kind. An error of a proxy is none: its phone book is away.
fn stranger(response: &Response) -> Option<Foreign> {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let what = if status.is_redirection() {
        "a redirect to another place"
    } else if kind.trim_start().to_lowercase().starts_with("text/html") && !status.is_server_error() {
        "a web page"
    } else {
        return None;
    };
    Some(Foreign::new(&format!("{what} ({status})")))
}

fn unknown(status: StatusCode) -> PhonebookError {
    PhonebookError::Stranger(Foreign::new(&format!("another program ({status})")))
}

/// An answer that says that a request was carried out.
fn done((status, body): (StatusCode, Vec<u8>)) -> Result<(), PhonebookError> {
    #[derive(Deserialize)]
    struct Done {
        success: bool,
    }
    match serde_json::from_slice::<Done>(&ok((status, body))?) {
        Ok(Done { success: true }) => Ok(()),
        _ => Err(unknown(status)),
    }
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
    if said.is_empty() && status.is_server_error() {
        return Err(PhonebookError::Unreachable(Foreign::new(&format!("a proxy says {status}"))));
    }
    Err(PhonebookError::Refused(if said.is_empty() { Foreign::new(&status.to_string()) } else { said }))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, PhonebookError> {
    serde_json::from_slice(body).map_err(|error| PhonebookError::Malformed(Foreign::new(&error.to_string())))
}

/// The innermost cause has the reason; the outer ones repeat the URL.
fn chain(error: &dyn Error) -> Foreign {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    Foreign::new(&innermost.to_string())
}

#[cfg(test)]
mod tests;
