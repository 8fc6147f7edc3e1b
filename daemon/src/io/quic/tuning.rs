//! Settings of the transport for tests and benchmarks, within safe ranges.

use fyteclub_proto::seal::EPOCH_BYTES;
use std::ops::RangeInclusive;

/// A packet size that every path of QUIC accepts (RFC 9000 §14).
pub(super) const SAFE_PACKET: u16 = 1200;
/// Packets within this machine use far less CPU when they are large (docs/performance.md). Ten of them, one GSO batch,
/// must stay below 65,507 bytes; a larger batch is lost as a whole.
pub(super) const LOOPBACK_PACKET: u16 = 6500;
/// With fewer, two running streams could be two keys apart.
const DATA_KEY_BYTES_MIN: u64 = 32 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Bytes in a packet to a peer on this machine.
    pub(super) packet: u16,
    /// Bytes that are sealed with one data key.
    pub(super) data_key_bytes: u64,
}

impl Tuning {
    /// Allowed bytes in a packet.
    pub const PACKET: RangeInclusive<u64> = 1200..=6500;
    /// Allowed bytes for one data key: none makes it last longer than by default.
    pub const DATA_KEY_BYTES: RangeInclusive<u64> = DATA_KEY_BYTES_MIN..=EPOCH_BYTES;

    /// The defaults for `None`. The configuration refuses what is out of range; here the nearest allowed value counts.
    pub fn new(packet: Option<u64>, data_key_bytes: Option<u64>) -> Self {
        let packet = packet.and_then(|bytes| bytes.try_into().ok()).unwrap_or(LOOPBACK_PACKET);
        Self {
            packet: packet.clamp(SAFE_PACKET, LOOPBACK_PACKET),
            data_key_bytes: data_key_bytes.unwrap_or(EPOCH_BYTES).clamp(DATA_KEY_BYTES_MIN, EPOCH_BYTES),
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::new(None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_settings_are_clamped_at_both_ends() {
        let both = |value| {
            let tuning = Tuning::new(Some(value), Some(value));
            (tuning.packet, tuning.data_key_bytes)
        };
        assert_eq!(both(0), (SAFE_PACKET, DATA_KEY_BYTES_MIN));
        assert_eq!(both(u64::MAX), (LOOPBACK_PACKET, EPOCH_BYTES), "key rotation cannot be switched off");
        assert_eq!(
            Tuning::new(Some(1452), Some(40 << 20)),
            Tuning { packet: 1452, data_key_bytes: 40 << 20 }
        );
        assert_eq!(Tuning::PACKET, u64::from(SAFE_PACKET)..=u64::from(LOOPBACK_PACKET));
        assert_eq!(Tuning::default(), Tuning { packet: LOOPBACK_PACKET, data_key_bytes: EPOCH_BYTES });
    }
}
