//! Settings of the transport that only tests and benchmarks change. Each is clamped to what is safe.

use fyteclub_proto::seal::EPOCH_BYTES;

/// Packets that every path of QUIC takes (RFC 9000 §14).
pub(super) const SAFE_PACKET: u16 = 1200;
/// Packets within this machine cost far less CPU when they are large (docs/performance.md). Ten of them, which is one
/// GSO batch, must stay below 65,507 bytes; larger ones are lost whole.
pub(super) const LOOPBACK_PACKET: u16 = 6500;
/// Not so few that streams under way could be two keys apart.
const DATA_KEY_BYTES_MIN: u64 = 32 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Bytes in a packet to a peer on this machine.
    pub(super) packet: u16,
    /// Bytes that one data key seals before the next one takes over.
    pub(super) data_key_bytes: u64,
}

impl Tuning {
    /// Takes the nearest allowed value. Nothing can make a data key last longer than it does by default.
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
    fn both_settings_are_clamped_on_both_sides() {
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
        assert_eq!(Tuning::default(), Tuning { packet: LOOPBACK_PACKET, data_key_bytes: EPOCH_BYTES });
    }
}
