//! Every maximum that crosses a boundary. A receiver applies them before it allocates or fetches.

use crate::{
    ledger::{Allowance, Item, Row},
    number,
};
use std::time::Duration;

/// One slice of a blob that verifies alone. A power of two and a multiple of BLAKE3's 1 KiB chunks, so that a slice is
/// one subtree of the blob's hash tree. 256 KiB keeps a resumed transfer's loss small and BLAKE3 at full speed (it
/// halves below 4 KiB).
pub const CHUNK_SIZE: usize = 256 * 1024;

/// Longest shared file: the largest raw file of today's systems.
pub const FILE_SIZE_MAX: u64 = 300 * 1024 * 1024;
/// Most chunks of one blob; bounds the chunk list (32 bytes each).
pub const BLOB_CHUNKS_MAX: usize = number::usize_of(FILE_SIZE_MAX).div_ceil(CHUNK_SIZE);

/// Most files in one appearance.
pub const FILES_MAX: usize = 16_384;
/// Most game paths in one appearance, over all its files and swaps.
pub const GAME_PATHS_MAX: usize = 65_536;
/// Longest game path, in bytes of UTF-8.
pub const GAME_PATH_BYTES_MAX: usize = 260;
/// Most objects (player, mount, companion, pet) in one appearance.
pub const OBJECTS_MAX: usize = 8;
/// Most file swaps in one appearance.
pub const SWAPS_MAX: usize = 16_384;
/// Longest opaque string of another plugin, in bytes.
pub const OPAQUE_BYTES_MAX: usize = 1024 * 1024;
/// All `ext` values of one appearance together, in bytes.
pub const EXT_BYTES_MAX: usize = 1024 * 1024;
/// Most `ext` keys, and the longest of them in bytes.
pub const EXT_KEYS_MAX: usize = 32;
pub const EXT_KEY_BYTES_MAX: usize = 64;
/// Longest encoded appearance. The most files and paths of ordinary length need about 6 MB; decoding allocates up to
/// eight times of it, which bounds what a stranger can make a daemon hold for a moment.
pub const APPEARANCE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a document may take without a byte of it moving, and its slowest rate in bytes a second: an eighth of the
/// lowest limit ([`crate::fetching::pace::RATE_MIN`]), which several streams may share.
pub const DOCUMENT_STALL: Duration = Duration::from_secs(30);
pub const DOCUMENT_RATE_MIN: u64 = 2 * 1024;

/// The longest transfer time of a document of so many bytes.
pub const fn document_time(bytes: u64) -> Duration {
    DOCUMENT_STALL.saturating_add(Duration::from_secs(bytes / DOCUMENT_RATE_MIN))
}

/// Longest JSON file of a mod, and all of one mod together, in bytes.
pub const MOD_JSON_MAX: u64 = 4 * 1024 * 1024;
pub const MOD_JSON_TOTAL_MAX: u64 = 32 * 1024 * 1024;

/// Longest player name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 128;

/// Longest body that the phone book reads.
pub const PHONEBOOK_BODY_MAX: usize = 16 * 1024;
/// How far a signed phone-book body's time may be from the server's clock.
pub const PROOF_TIME_WINDOW: Duration = Duration::from_secs(120);

/// Most names in one batch lookup.
pub const LOOKUP_NAMES_MAX: usize = 100;
/// How long a grant is valid. It is renewed while it is used ([`crate::grant::Tenure`]), so it need not outlast a
/// fetch. A signature cannot be taken back, so a grant outlives a removal: by this, by [`GRANT_SKEW`], and by as much
/// again where the holder's clock is late. Ten minutes in all.
pub const GRANT_LIFE: Duration = Duration::from_secs(6 * 60);
/// How far the clocks of owner and holder may differ.
pub const GRANT_SKEW: Duration = Duration::from_secs(120);
/// Origins of a cached blob; one more replaces the oldest.
pub const OWNERS_MAX: usize = 16;
/// Bytes of a blob in a proof by sample.
pub const SAMPLE_BYTES: usize = 16 * 1024;
/// Most blobs in one request for proofs.
pub const PROOFS_MAX: usize = 512;
/// Most bytes to read for one request for proofs; a single blob may have more.
pub const PROOF_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Longest map of a look's held files, in bytes: a bit for each distinct file.
pub const HOLDING_BYTES_MAX: usize = FILES_MAX.div_ceil(8);

/// Longest message of `/api/live`, either way, in bytes of JSON.
pub const LIVE_MESSAGE_MAX: usize = 4 * 1024;
/// Longest entry of another phone book: a live message, and its receiver.
pub const DISPATCH_MAX: usize = LIVE_MESSAGE_MAX + 1024;
/// Messages that the phone book queues for a client that does not read; beyond it the client is closed.
pub const LIVE_QUEUE_MAX: usize = 32;
/// Introductions under way of one client.
pub const INTRODUCTIONS_MAX: usize = 16;
/// Longest sealed letter, in bytes.
pub const LETTER_BYTES_MAX: usize = 1024;
/// Most addresses that are dialled for one introduction, over all its letters.
pub const CANDIDATES_MAX: usize = 8;
/// Most addresses that are read of one letter.
pub const CANDIDATES_READ_MAX: usize = 32;
/// Most names in the local network that are kept of one contact, and most addresses of each: a name changes at each
/// start, and the former one is announced for two minutes.
pub const LAN_NAMES_MAX: usize = 4;
pub const LAN_ADDRS_MAX: usize = 8;
/// Most datagrams that one dial sends to a silent address: QUIC's first packet, two more at each timeout, and a close.
/// An address gets one dial for one introduction.
pub const DIAL_DATAGRAMS: u64 = 8;

/// Most contacts of one player, including blocked keys. Each may have a link, of about 50 KiB.
pub const CONTACTS_MAX: usize = 2_000;
/// Most knocks that wait for a player's answer; one more replaces the oldest.
pub const ASKERS_MAX: usize = 64;
/// Most changes of a player's key in one letter. A contact that missed more has to pair again.
pub const KEY_CHANGES_MAX: usize = 4;
/// Most open invitations of one player.
pub const INVITATIONS_MAX: usize = 16;
/// Most used or expired invitations that are kept to answer late users; one more replaces the oldest.
pub const SPENT_MAX: usize = 32;
/// Most nonces that are kept of one key's knocks beside the newest: one for each phone book.
pub const NUMBERS_MAX: usize = 4;
/// Most keys that are kept for one name.
pub const RIVALS_MAX: usize = 4;

/// Longest control frame between daemons. Larger answers (a document) have limits of their own.
pub const PEER_FRAME_MAX: usize = 64 * 1024;
/// Most pieces that one request stream may ask for.
pub const REQUEST_ITEMS_MAX: usize = 128;
/// Most bytes of one request stream, so that a lost stream costs little and sources stay comparable.
pub const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Request streams that a daemon keeps open to one source, and the most that it serves for one peer.
pub const STREAMS_PER_SOURCE: usize = 4;
pub const STREAMS_SERVED_MAX: u32 = 16;

/// Fetches with a turn at once. Fewer leave a home's downlink idle, because a contact's uplink is a fraction of it;
/// with more the nearest look comes late.
pub const FLOWS_MAX: usize = 4;
/// With stalled ones, which block nobody: each may hold memory and streams.
pub const FLOWS_ALL_MAX: usize = 16;
/// How long prefetched bytes that nobody used count against the budget.
pub const PREFETCH_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Most near players of one client: more than a game shows at once.
pub const NEARBY_MAX: usize = 256;
/// How long a set of near players may outlast its client.
pub const NEARBY_KEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest frame of the local API: control only, never file bytes. The list of the largest accepted look fits.
pub const LOCAL_FRAME_MAX: usize = 32 * 1024 * 1024;
/// Longest frame before the greeting.
pub const LOCAL_HELLO_BYTES_MAX: usize = 64 * 1024;
/// How long a client may be connected without greeting.
pub const LOCAL_HELLO_TIME: Duration = Duration::from_secs(5);
/// Local clients at once: a plugin for each game window, and a person's programs. Some places are always left for
/// clients that have not greeted.
pub const LOCAL_CLIENTS_MAX: usize = 128;
/// Greeted clients, and how many of those places are reserved for `fyteclubctl`.
pub const LOCAL_GREETED_MAX: usize = 120;
pub const LOCAL_KEPT: usize = 8;
/// Unread bytes of replies and events of one client; beyond it its requests are not read. One longer answer waits
/// alone.
pub const LOCAL_UNREAD_MAX: usize = 1024 * 1024;
/// Bytes of all local clients' frames together: the longest request and the longest answer at once, and some rounding.
/// What one client sends or leaves unread up to [`LOCAL_FREE`] is not counted.
pub const LOCAL_HELD_MAX: usize = 2 * LOCAL_FRAME_MAX + 1024 * 1024;
pub const LOCAL_FREE: usize = 128 * 1024;
/// Bytes of one client's answers that are made and wait to be written after others. One more is refused.
pub const LOCAL_ANSWERS_MAX: usize = LOCAL_FRAME_MAX;
/// How many clients may have an answer that is made and waits for space within [`LOCAL_HELD_MAX`]. One more is refused.
pub const LOCAL_SPACELESS_MAX: usize = 2;
/// A frame that takes longer makes way when another needs its space. The longest takes a tenth of that.
pub const LOCAL_HOLD_TIME: Duration = Duration::from_secs(1);

/// What one counterpart may cost a daemon. Every charged item has a row here.
pub const DAEMON_LEDGER: &[Row] = &[
    // Addresses in a contact's letters: two lists of eight in a minute, and no scan of a network.
    Row {
        item: Item::Dials,
        each: Allowance::Rate { burst: 16, amount: 8, period: Duration::from_secs(30) },
        all: Some(Allowance::each_second(64, 1024)),
    },
    // A phone book names one address for each lookup: a zone full of contacts at once.
    Row { item: Item::Lookups, each: Allowance::each_second(16, 256), all: None },
    // Names announced in the local network, by the address that they claim: each costs a hash for every contact.
    Row {
        item: Item::Announcements,
        each: Allowance::each_second(4, 32),
        all: Some(Allowance::each_second(64, 512)),
    },
    // The datagrams of these dials, all unanswered.
    Row {
        item: Item::Probes,
        each: Allowance::Rate {
            burst: 16 * DIAL_DATAGRAMS,
            amount: 8 * DIAL_DATAGRAMS,
            period: Duration::from_secs(30),
        },
        all: Some(Allowance::each_second(512, 8192)),
    },
    // Ungreeted links of one contact: it dials again before its last try is over, and no more often.
    Row { item: Item::Greetings, each: Allowance::Held(4), all: None },
    // Document requests at one contact: a new look and what follows it at once, then one in 5 s.
    Row {
        item: Item::Documents,
        each: Allowance::Rate { burst: 8, amount: 1, period: Duration::from_secs(5) },
        all: None,
    },
    // Sealed documents that one contact has not read: one of the longest at a time.
    Row {
        item: Item::Unread,
        each: Allowance::Held(number::u64_of(APPEARANCE_BYTES_MAX)),
        all: Some(Allowance::Held(16 * number::u64_of(APPEARANCE_BYTES_MAX))),
    },
    // Unfinished handshakes. At the rate of newcomers each has a second before it is replaced, and contacts behind one
    // carrier's address may connect at once.
    Row { item: Item::Handshakes, each: Allowance::Held(32), all: Some(Allowance::Held(256)) },
    // A contact that restarts again and again, or whose links fail.
    Row { item: Item::Arrivals, each: Allowance::each_second(32, 128), all: None },
    // A handshake costs about 0.4 ms of a core: strangers get a few hundredths of it.
    Row {
        item: Item::Newcomers,
        each: Allowance::each_second(32, 128),
        all: Some(Allowance::each_second(64, 512)),
    },
    // A zone full of contacts connects without it; a flood does not.
    Row {
        item: Item::Unproven,
        each: Allowance::each_second(32, 64),
        all: Some(Allowance::each_second(32, 64)),
    },
    // Bytes that a contact has us read for proofs: four looks at once, and then a hundredth of a core.
    Row { item: Item::Proofs, each: Allowance::each_second(16 << 20, 2 << 30), all: None },
    // Of one local client a request and an answer; of all the same, and others wait or make way.
    Row {
        item: Item::LocalBytes,
        each: Allowance::Held(number::u64_of(LOCAL_HELD_MAX)),
        all: Some(Allowance::Held(number::u64_of(LOCAL_HELD_MAX))),
    },
];

/// Handshakes under way from which on an address must be proven first.
pub const HANDSHAKES_BEFORE_PROOF: usize = 16;
/// Handshakes under way of strangers, who call from no contact's last address: the other places are the contacts'.
pub const STRANGERS_HANDSHAKES_MAX: usize = 224;

/// What one address or network may cost a phone book. The operator sets the request budgets (`docs/decisions/0011`);
/// these are the shares.
pub const PHONE_BOOK_LEDGER: &[Row] = &[
    // Of a network: as many as a hundred players behind one address need, and too few to hold much memory, at 128 KiB
    // for an endless head. Behind a trusted proxy, requests under way. The operator may set another number.
    Row { item: Item::Connections, each: Allowance::Held(256), all: None },
    // Of a network, unfinished TLS handshakes.
    Row { item: Item::Handshakes, each: Allowance::Held(64), all: None },
    // Of a network. The operator may set another number.
    Row { item: Item::Sockets, each: Allowance::Held(200), all: None },
    // Frames of a network's sockets, and messages in its polls: 400 players with introductions at once.
    Row { item: Item::Messages, each: Allowance::each_second(500, 4000), all: None },
    // Of a customer (an IPv4 address or an IPv6 /48), including names that are only pinned to their key. The operator
    // may set another number.
    Row { item: Item::Names, each: Allowance::Held(1000), all: None },
    // Of a network, in bytes: full queues of sixty-four clients.
    Row {
        item: Item::Unread,
        each: Allowance::Held(64 * number::u64_of(LIVE_QUEUE_MAX) * UNREAD_COST),
        all: None,
    },
];

/// The cost of a waiting message, in bytes: the longest letter and its envelope.
pub const UNREAD_COST: u64 = 2 * 1024;
/// Frames that one live socket may send a phone book, which reads the next one only when it is due. The callee of sixty
/// introductions at once sends 600 within a minute.
pub const SOCKET_FRAMES: Allowance = Allowance::each_second(50, 250);
/// How long a name that was registered only once is pinned to its key. A daemon registers every 45 s.
pub const PIN_ONCE: Duration = Duration::from_secs(60 * 60);
