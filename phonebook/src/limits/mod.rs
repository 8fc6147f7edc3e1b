//! Request budgets per class: by client address, and for signed requests by key.
//!
//! A refusal is cheaper than an answer, and allocates nothing. A key is charged only after its signature was
//! verified, so that nobody can use up another's budget.

mod class;
mod rate;
mod store;

pub(crate) use class::{By, Class, Limited};
use fyteclub_proto::{id::PeerId, ledger::Network, number};
use governor::{
    RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
};
pub use rate::{NotARate, Rate, Rates};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use store::{Holder, Store};

/// Most budgets per class, at 50 bytes each (80 by key). Whole budgets are dropped: a million players with heartbeats
/// have about 125,000 between two sweeps.
const HOLDERS_MAX: usize = 1 << 18;

/// How often whole budgets are dropped.
pub(crate) const SWEEP: Duration = Duration::from_secs(5);

impl Holder for Network {
    /// The provider: /16 of IPv4, /32 of IPv6.
    fn neighbourhood(&self) -> u64 {
        match self {
            Self::V4(bits) => u64::from(bits >> 16) | 1 << 63,
            Self::V6(bits) => bits >> 32,
        }
    }
}

impl Holder for PeerId {
    /// One of a thousand classes.
    fn neighbourhood(&self) -> u64 {
        self.as_bytes().iter().fold(0, |hash: u64, byte| hash.rotate_left(7) ^ u64::from(*byte))
    }
}

/// The budgets of one class.
struct Budgets<K: Holder, C: Clock>(Option<Counted<K, C>>);

struct Counted<K: Holder, C: Clock> {
    limiter: RateLimiter<K, Store<K>, C, NoOpMiddleware<C::Instant>>,
    burst: NonZeroU32,
    clock: C,
}

impl<K: Holder, C: Clock + Clone> Budgets<K, C> {
    fn new(rate: Option<Rate>, clock: &C, room: usize) -> Self {
        Self(rate.map(|rate| Counted {
            limiter: RateLimiter::new(rate.quota(), Store::new(room), clock.clone()),
            burst: rate.burst(),
            clock: clock.clone(),
        }))
    }

    /// Returns the missing time. A cost above the burst counts as the burst, or it could never be paid.
    fn charge(&self, holder: K, cost: u32) -> Result<(), Duration> {
        let (Some(counted), Some(cost)) = (&self.0, NonZeroU32::new(cost)) else { return Ok(()) };
        match counted.limiter.check_key_n(&holder, cost.min(counted.burst)) {
            Ok(Err(until)) => Err(until.wait_time_from(counted.clock.now())),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    fn forget_idle(&self) {
        if let Some(counted) = &self.0 {
            counted.limiter.retain_recent();
        }
    }
}

/// Shared by all workers.
pub(crate) struct Limits<C: Clock = MonotonicClock> {
    /// In the order of [`Class::ALL`].
    addresses: [Budgets<Network, C>; Class::ALL.len()],
    registration_keys: Budgets<PeerId, C>,
    introduction_keys: Budgets<PeerId, C>,
    chance: RandomState,
    refused: AtomicU64,
}

impl Limits {
    pub(crate) fn new(rates: &Rates) -> Self {
        Self::with_clock(rates, &MonotonicClock, HOLDERS_MAX)
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn with_clock(rates: &Rates, clock: &C, room: usize) -> Self {
        Self {
            addresses: Class::ALL.map(|class| Budgets::new(rates.by_address(class), clock, room)),
            registration_keys: Budgets::new(rates.by_key(Class::Registration), clock, room),
            introduction_keys: Budgets::new(rates.by_key(Class::Introduction), clock, room),
            chance: RandomState::new(),
            refused: AtomicU64::new(0),
        }
    }

    /// `cost` is 1, or the number of names in a batch.
    pub(crate) fn check_address(&self, class: Class, address: IpAddr, cost: u32) -> Result<(), Limited> {
        let budgets = &self.addresses[class.index()];
        budgets.charge(address.into(), cost).map_err(|missing| self.limited(class, By::Address, missing))
    }

    /// Call it only with a key that signed the request. Only registrations and introductions have a budget by key.
    pub(crate) fn check_key(&self, class: Class, key: &PeerId, cost: u32) -> Result<(), Limited> {
        let budgets = match class {
            Class::Registration => &self.registration_keys,
            Class::Introduction => &self.introduction_keys,
            Class::Lookup | Class::Socket | Class::Other | Class::Datagram => return Ok(()),
        };
        budgets.charge(*key, cost).map_err(|missing| self.limited(class, By::Key, missing))
    }

    /// Drops whole budgets.
    pub(crate) fn forget_idle(&self) {
        self.addresses.iter().for_each(Budgets::forget_idle);
        self.registration_keys.forget_idle();
        self.introduction_keys.forget_idle();
    }

    /// Makes a refusal out of the missing time.
    pub(crate) fn limited(&self, class: Class, by: By, missing: Duration) -> Limited {
        let seconds = number::low_half(number::millis(missing).div_ceil(1000).clamp(1, 7 * 86_400));
        let chance = number::low_half(self.chance.hash_one(self.refused.fetch_add(1, Ordering::Relaxed)));
        Limited { class, by, retry_after: seconds + chance % (seconds.div_ceil(2) + 1) }
    }
}

impl<C: Clock> fmt::Debug for Limits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
