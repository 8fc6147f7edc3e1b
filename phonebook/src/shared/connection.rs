//! The connection to Redis, shared by all workers. Each request has a deadline, and the first failure opens a
//! circuit, so that nobody waits for a dead Redis.

use super::{Unavailable, keyspace::plain};
use crate::clock::Moment;
use fyteclub_proto::foreign::Foreign;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, ToRedisArgs, Value, aio::MultiplexedConnection};
use std::{
    fmt,
    sync::{
        LazyLock, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// For each request.
pub(super) const DEADLINE: Duration = Duration::from_millis(500);
/// How long Redis blocks a read of the inbox.
const INBOX_WAIT: Duration = Duration::from_secs(1);
/// Entries per read.
const INBOX_BATCH: usize = 64;

/// A script and its SHA-1, under which Redis caches it.
pub(super) struct Script {
    text: &'static str,
    digest: LazyLock<String>,
}

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(super) static $name: Script =
            Script { text: include_str!($file), digest: LazyLock::new(|| sha1(include_str!($file))) };
    };
}

script!(REGISTER, "scripts/register.lua");
script!(HOLD, "scripts/hold.lua");
script!(HOLD_ON, "scripts/hold_on.lua");
script!(UNREGISTER, "scripts/unregister.lua");
script!(CHARGE, "scripts/charge.lua");
script!(SEQUENCE, "scripts/sequence.lua");
script!(LEASE, "scripts/lease.lua");
script!(RENEW, "scripts/renew.lua");
script!(PUSH, "scripts/push.lua");
script!(BEAT, "scripts/beat.lua");

static SCRIPTS: [&Script; 10] =
    [&REGISTER, &HOLD, &HOLD_ON, &UNREGISTER, &CHARGE, &SEQUENCE, &LEASE, &RENEW, &PUSH, &BEAT];

impl Script {
    /// Each script touches one key, so that a cluster can distribute them.
    pub(super) fn on(&self, key: &[u8]) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&*self.digest).arg(1).arg(key);
        cmd
    }
}

#[derive(Clone)]
struct Up {
    connection: MultiplexedConnection,
    number: u64,
}

pub(super) struct Connection {
    client: Client,
    up: RwLock<Option<Up>>,
    connections: AtomicU64,
    broken: Notify,
    /// Redis's clock minus our steady one, in milliseconds.
    offset: AtomicI64,
    /// When this Redis was filled first, in its Unix milliseconds.
    born: AtomicU64,
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            up: RwLock::new(None),
            connections: AtomicU64::new(0),
            broken: Notify::new(),
            offset: AtomicI64::new(0),
            born: AtomicU64::new(0),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.current().is_some()
    }

    /// Unix milliseconds by Redis's clock, which all phone books share. Independent of our wall clock, which may
    /// jump.
    pub(super) fn time(&self, now: Moment) -> u64 {
        now.steady_millis().saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }

    pub(super) fn born(&self) -> u64 {
        self.born.load(Ordering::Relaxed)
    }

    /// Sets clock and `born` to the same instant.
    #[cfg(test)]
    pub(super) fn pretend(&self, born: u64) {
        self.offset.store(born.cast_signed(), Ordering::Relaxed);
        self.born.store(born, Ordering::Relaxed);
    }

    /// One round trip, one value per command; a server's error is a value.
    ///
    /// # Errors
    /// Redis is down, or unable to work.
    pub(super) async fn ask(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Unavailable> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let Some(mut up) = self.current() else { return Err(Unavailable) };
        let asked = up.connection.send_packed_commands(pipeline, 0, pipeline.len());
        match timeout(DEADLINE, asked).await {
            Ok(Ok(values)) if values.len() == pipeline.len() && no_answer(&values).is_none() => Ok(values),
            Ok(Ok(values)) => {
                Err(self.lost(up.number, no_answer(&values).unwrap_or("it answered too little")))
            }
            Ok(Err(error)) => Err(self.lost(up.number, &error.to_string())),
            Err(_) => Err(self.lost(up.number, "no answer in time")),
        }
    }

    pub(super) async fn ask_one(&self, cmd: Cmd) -> Result<Value, Unavailable> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(cmd);
        self.ask(&pipeline).await?.pop().ok_or(Unavailable)
    }

    /// Returns when the connection is lost.
    pub(super) async fn broken(&self) {
        loop {
            let broken = self.broken.notified();
            if !self.is_up() {
                return;
            }
            broken.await;
        }
    }

    /// Connects, loads the scripts, and reads the clock.
    pub(super) async fn connect(&self, now: impl Fn() -> Moment) -> Result<(), redis::RedisError> {
        let mut connection = self.open(DEADLINE).await?;
        let mut pipeline = Pipeline::new();
        for script in SCRIPTS {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text);
        }
        connection.send_packed_commands(&pipeline, 0, pipeline.len()).await?;
        let beat = connection.send_packed_command(&beat()).await?;
        self.take_beat(&beat, now()).map_err(|Unavailable| {
            redis::RedisError::from((redis::ErrorKind::UnexpectedReturnType, "no clock"))
        })?;
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        *self.up.write().unwrap_or_else(PoisonError::into_inner) = Some(Up { connection, number });
        Ok(())
    }

    /// Checks the connection, and reads Redis's clock and `born`.
    pub(super) async fn beat(&self, now: impl Fn() -> Moment) -> Result<(), Unavailable> {
        let beat = self.ask_one(beat()).await?;
        self.take_beat(&beat, now())
    }

    fn take_beat(&self, beat: &Value, now: Moment) -> Result<(), Unavailable> {
        let Value::Array(numbers) = beat else { return Err(Unavailable) };
        let number = |value: &Value| match value {
            Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse::<u64>().ok(),
            _ => None,
        };
        let (Some(time), Some(born)) = (numbers.first().and_then(number), numbers.get(1).and_then(number))
        else {
            return Err(Unavailable);
        };
        self.offset.store(time.wrapping_sub(now.steady_millis()).cast_signed(), Ordering::Relaxed);
        self.born.store(born, Ordering::Relaxed);
        Ok(())
    }

    /// A connection that only reads the inbox.
    pub(super) async fn inbox(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        self.open(INBOX_WAIT + DEADLINE).await
    }

    /// Entries, or none after [`INBOX_WAIT`].
    pub(super) async fn next(
        connection: &mut MultiplexedConnection,
        inbox: &[u8],
    ) -> Result<Vec<Value>, redis::RedisError> {
        let mut cmd = redis::cmd("BLMPOP");
        cmd.arg(INBOX_WAIT.as_secs()).arg(1).arg(inbox).arg("LEFT").arg("COUNT").arg(INBOX_BATCH);
        match connection.send_packed_command(&cmd).await?.extract_error()? {
            Value::Array(mut parts) if parts.len() == 2 => match parts.pop() {
                Some(Value::Array(entries)) => Ok(entries),
                _ => Ok(Vec::new()),
            },
            _ => Ok(Vec::new()),
        }
    }

    async fn open(&self, limit: Duration) -> Result<MultiplexedConnection, redis::RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(limit));
        let opened = self.client.get_multiplexed_async_connection_with_config(&config);
        // Includes Redis's greeting.
        timeout(2 * DEADLINE, opened)
            .await
            .map_err(|_| redis::RedisError::from((redis::ErrorKind::Io, "no greeting in time")))?
    }

    fn current(&self) -> Option<Up> {
        self.up.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the circuit, unless the connection was replaced already.
    fn lost(&self, number: u64, why: &str) -> Unavailable {
        let mut up = self.up.write().unwrap_or_else(PoisonError::into_inner);
        if up.as_ref().is_some_and(|up| up.number == number) {
            *up = None;
            let why = Foreign::new(why);
            tracing::warn!("Redis does not answer ({why}): no name is registered or found until it is back");
            self.broken.notify_waiters();
        }
        Unavailable
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("up", &self.is_up()).finish_non_exhaustive()
    }
}

fn beat() -> Cmd {
    BEAT.on(&plain("born"))
}

/// Errors that mean that the server cannot work: it is starting, a replica, or lost its scripts. An error about one
/// key is an answer, or a bad key would open the circuit.
const NO_STATE: [&str; 9] = [
    "NOSCRIPT",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "BUSY",
    "MISCONF",
    "NOAUTH",
    "CLUSTERDOWN",
];

/// Why a server cannot answer now, if one of its values says so.
fn no_answer(values: &[Value]) -> Option<&str> {
    values.iter().find_map(|value| match value {
        Value::ServerError(error) if NO_STATE.contains(&error.code()) => {
            Some(error.details().unwrap_or_else(|| error.code()))
        }
        _ => None,
    })
}

/// Whether Redis was out of memory.
pub(super) fn is_full(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "OOM")
}

fn sha1(text: &str) -> String {
    redis::Script::new(text).get_hash().to_owned()
}

/// Chained arguments.
pub(super) trait Args: Sized {
    fn with(self, arg: impl ToRedisArgs) -> Self;
}

impl Args for Cmd {
    fn with(mut self, arg: impl ToRedisArgs) -> Self {
        self.arg(arg);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection::new(Client::open("redis://127.0.0.1:1").unwrap())
    }

    #[test]
    fn heartbeat_without_two_numbers_keeps_the_clock() {
        let (connection, now) =
            (connection(), Moment { steady: Duration::from_secs(5), unix: Duration::ZERO });
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        for nonsense in [
            Value::Nil,
            Value::Int(7),
            Value::Array(Vec::new()),
            Value::Array(vec![text("7")]),
            Value::Array(vec![text("7"), text("soon")]),
            Value::Array(vec![text("7"), Value::Int(7)]),
            Value::Array(vec![Value::BulkString(vec![0xff]), text("7")]),
        ] {
            assert_eq!(connection.take_beat(&nonsense, now), Err(Unavailable), "{nonsense:?}");
        }
        assert_eq!((connection.time(now), connection.born()), (5000, 0));
        let beat = Value::Array(vec![text("1700000000000"), text("1600000000000")]);
        assert_eq!(connection.take_beat(&beat, now), Ok(()));
        assert_eq!((connection.time(now), connection.born()), (1_700_000_000_000, 1_600_000_000_000));
    }

    #[tokio::test]
    async fn nothing_is_asked_over_an_open_circuit() {
        let connection = connection();
        assert!(!connection.is_up());
        connection.broken().await;
        assert_eq!(connection.ask(&Pipeline::new()).await, Ok(Vec::new()));
        assert_eq!(connection.ask_one(redis::cmd("PING")).await, Err(Unavailable));
        assert!(
            connection.connect(|| Moment { steady: Duration::ZERO, unix: Duration::ZERO }).await.is_err()
        );
        assert!(!connection.is_up());
    }
}
