//! Every maximum that crosses a boundary. A receiver applies them before it allocates or fetches.

use crate::{
    ledger::{Allowance, Item, Row},
    number,
};
use std::time::Duration;

/// One slice of a blob that verifies on its own. A power of two and a multiple of BLAKE3's 1 KiB chunks, so that a
/// slice is one subtree of the blob's hash tree. 256 KiB keeps a resumed transfer's loss small and BLAKE3 at full
/// speed (it halves below 4 KiB).
pub const CHUNK_SIZE: usize = 256 * 1024;

/// Longest file that may be shared: the largest raw file that today's systems carry.
pub const FILE_SIZE_MAX: u64 = 300 * 1024 * 1024;
/// Most chunks one blob can have; bounds the chunk list (32 bytes each) that a source may send.
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
/// eight times of what comes, so this is also what a stranger can make a daemon hold for a moment.
pub const APPEARANCE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a signed appearance may be on its way without a byte of it moving, and the slowest rate in bytes a second at
/// which it may move: an eighth of the lowest limit ([`crate::fetching::pace::RATE_MIN`]), which several streams may share.
pub const DOCUMENT_STALL: Duration = Duration::from_secs(30);
pub const DOCUMENT_RATE_MIN: u64 = 2 * 1024;

/// How long an appearance of so many bytes may be on its way at the most.
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
/// How long a grant lets a contact have a look from others. It is asked for anew while it is used
/// ([`crate::grant::Tenure`]), so it need not outlast a fetch; and it outlives the end of the friendship, because nobody
/// can take back what was signed: by this, by [`GRANT_SKEW`] that is forgiven, and by as much again where the holder's
/// clock is late. Ten minutes in all.
pub const GRANT_LIFE: Duration = Duration::from_secs(6 * 60);
/// How far the clocks of those who give and who honour a grant may differ.
pub const GRANT_SKEW: Duration = Duration::from_secs(120);
/// Owners that a cached blob is known to have come from; the one that was noted first goes when one more comes.
pub const OWNERS_MAX: usize = 16;
/// Bytes of a blob over which a sample of it is proven.
pub const SAMPLE_BYTES: usize = 16 * 1024;
/// Most blobs whose possession one request asks for.
pub const PROOFS_MAX: usize = 512;
/// Most bytes that may have to be read for one request for proofs; a single blob may have more.
pub const PROOF_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Longest map of what of a look's distinct files a peer holds, in bytes: a bit for each.
pub const HOLDING_BYTES_MAX: usize = FILES_MAX.div_ceil(8);

/// Longest message of `/api/live`, either way, in bytes of JSON.
pub const LIVE_MESSAGE_MAX: usize = 4 * 1024;
/// Longest entry that a phone book reads from another's hand: a live message, and to whom.
pub const DISPATCH_MAX: usize = LIVE_MESSAGE_MAX + 1024;
/// Messages that the phone book keeps for one client that does not read; one more, and the client is cut off.
pub const LIVE_QUEUE_MAX: usize = 32;
/// Introductions that one client may have under way.
pub const INTRODUCTIONS_MAX: usize = 16;
/// Longest sealed letter, in bytes.
pub const LETTER_BYTES_MAX: usize = 1024;
/// Most ways to reach a peer that are dialled for one introduction, over all its letters.
pub const CANDIDATES_MAX: usize = 8;
/// Most ways to reach a peer that are read of one letter.
pub const CANDIDATES_READ_MAX: usize = 32;
/// Most datagrams that one dial sends to an address that does not answer: QUIC's first packet, two more each time that
/// nothing came back, and a goodbye. One dial is what an address gets for one introduction.
pub const DIAL_DATAGRAMS: u64 = 8;

/// Most contacts of one player, blocked keys among them. Each may have a link at once, of about 50 KiB.
pub const CONTACTS_MAX: usize = 2_000;
/// Most requests that wait for a player's answer; the oldest goes when one more comes.
pub const ASKERS_MAX: usize = 64;
/// Most changes of a player's key that are told together: as many as one letter holds. Who missed more has to be paired
/// with again.
pub const KEY_CHANGES_MAX: usize = 4;
/// Most invitations of one player that can still be followed.
pub const INVITATIONS_MAX: usize = 16;
/// Most that are remembered after that, to tell those who come too late; the oldest goes first.
pub const SPENT_MAX: usize = 32;
/// Most numbers of one key's knocks that are remembered beside the newest: one for each phone book that carries them.
pub const NUMBERS_MAX: usize = 4;
/// Most keys that are remembered to answer to one name.
pub const RIVALS_MAX: usize = 4;

/// Longest control frame between daemons. Answers that may be larger (an appearance) have limits of their own.
pub const PEER_FRAME_MAX: usize = 64 * 1024;
/// Most pieces that one request stream may ask for.
pub const REQUEST_ITEMS_MAX: usize = 128;
/// Most bytes that one request stream asks for, so that a lost stream costs little and sources stay comparable.
pub const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Request streams that a daemon keeps open to one source, and the most that it serves at once for one peer.
pub const STREAMS_PER_SOURCE: usize = 4;
pub const STREAMS_SERVED_MAX: u32 = 16;

/// Looks that flow at once. Fewer leave a home's downlink idle, because a friend's uplink is a fraction of it; with more
/// the nearest look comes late.
pub const FLOWS_MAX: usize = 4;
/// With those that do not move at the moment, which keep nobody else waiting: each may hold memory and streams.
pub const FLOWS_ALL_MAX: usize = 16;
/// How long what was brought in advance, and used by nobody, counts against the budget of that.
pub const PREFETCH_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Most players that one client says are near: more than a game shows at once.
pub const NEARBY_MAX: usize = 256;
/// How long a set of those may stay when the client that said it has left.
pub const NEARBY_KEEP_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest frame of the local API: control only, never file bytes. The list of the largest look that is accepted fits.
pub const LOCAL_FRAME_MAX: usize = 32 * 1024 * 1024;
/// Longest frame of a client that has not greeted.
pub const LOCAL_HELLO_BYTES_MAX: usize = 64 * 1024;
/// How long a client may be connected without greeting.
pub const LOCAL_HELLO_TIME: Duration = Duration::from_secs(5);
/// Clients of the local API that are connected at once: a plugin for each game window, and what people have open. Some of
/// them are always those that have not greeted, so that who comes can.
pub const LOCAL_CLIENTS_MAX: usize = 128;
/// Clients that have greeted, and how many of those places are kept for `fyteclubctl`.
pub const LOCAL_GREETED_MAX: usize = 120;
pub const LOCAL_KEPT: usize = 8;
/// Bytes of replies and events that wait for one client to read; then nothing more is read of what it asks. One answer
/// that is longer waits alone.
pub const LOCAL_UNREAD_MAX: usize = 1024 * 1024;

/// What one counterpart may cost a daemon. Rows are added where something new is charged, and nowhere else.
pub const DAEMON_LEDGER: &[Row] = &[
    // Addresses that a contact's letters name: two lists of eight in a minute, and no scan of a network.
    Row {
        item: Item::Dials,
        each: Allowance::Rate { burst: 16, amount: 8, period: Duration::from_secs(30) },
        all: Some(Allowance::each_second(64, 1024)),
    },
    // A phone book names one address for each player who is looked for: a zone full of friends at once.
    Row { item: Item::Lookups, each: Allowance::each_second(16, 256), all: None },
    // Their datagrams, as many as there are when nobody answers.
    Row {
        item: Item::Probes,
        each: Allowance::Rate {
            burst: 16 * DIAL_DATAGRAMS,
            amount: 8 * DIAL_DATAGRAMS,
            period: Duration::from_secs(30),
        },
        all: Some(Allowance::each_second(512, 8192)),
    },
    // Links of one contact that have not greeted: it dials again before its last try is over, and no oftener.
    Row { item: Item::Greetings, each: Allowance::Held(4), all: None },
    // Looks of one contact that are asked for: a change of clothes and what follows it at once, then one in 5 s.
    Row {
        item: Item::Documents,
        each: Allowance::Rate { burst: 8, amount: 1, period: Duration::from_secs(5) },
        all: None,
    },
    // Sealed documents that one contact has asked for and not read: one of the longest at a time.
    Row {
        item: Item::Unread,
        each: Allowance::Held(number::u64_of(APPEARANCE_BYTES_MAX)),
        all: Some(Allowance::Held(16 * number::u64_of(APPEARANCE_BYTES_MAX))),
    },
    // Handshakes that have not ended. At the rate of newcomers each has a second before it is pushed out, and friends
    // behind one carrier's address may come at once.
    Row { item: Item::Handshakes, each: Allowance::Held(32), all: Some(Allowance::Held(256)) },
    // A contact that restarts again and again, or both of whose lines fail.
    Row { item: Item::Arrivals, each: Allowance::each_second(32, 128), all: None },
    // A handshake costs about 0.4 ms of a core: strangers get a few hundredths of one.
    Row {
        item: Item::Newcomers,
        each: Allowance::each_second(32, 128),
        all: Some(Allowance::each_second(64, 512)),
    },
    // A zone full of friends comes without it; a flood does not.
    Row {
        item: Item::Unproven,
        each: Allowance::each_second(32, 64),
        all: Some(Allowance::each_second(32, 64)),
    },
    // Bytes that a contact has us read to prove that we have them: four looks at once, and then a hundredth of a core.
    Row { item: Item::Proofs, each: Allowance::each_second(16 << 20, 2 << 30), all: None },
];

/// Handshakes under way from which on an address must first prove that it is not forged.
pub const HANDSHAKES_BEFORE_PROOF: usize = 16;
/// Handshakes under way of those who are at no contact's last address: the other places are the contacts'.
pub const STRANGERS_HANDSHAKES_MAX: usize = 224;

/// What one address or network may cost a phone book. The budgets of requests are the operator's
/// (`docs/decisions/0011`); what is held at once stands here.
pub const PHONE_BOOK_LEDGER: &[Row] = &[
    // Of a network: as many as a hundred players behind one address need, and too few to hold much memory, at 128 KiB for
    // a head that does not end. Behind a trusted proxy, requests under way. The operator may choose another number.
    Row { item: Item::Connections, each: Allowance::Held(256), all: None },
    // Of a network, TLS that has not begun.
    Row { item: Item::Handshakes, each: Allowance::Held(64), all: None },
    // Of a network. The operator may choose another number.
    Row { item: Item::Sockets, each: Allowance::Held(200), all: None },
    // Frames of a network's sockets, and messages in its polls: 400 players who are all introduced at once.
    Row { item: Item::Messages, each: Allowance::each_second(500, 4000), all: None },
    // Of a customer (an IPv4 address or an IPv6 /48), those included that are only remembered for their key. The operator
    // may choose another number.
    Row { item: Item::Names, each: Allowance::Held(1000), all: None },
    // Of a network, in bytes: full queues of sixty-four clients.
    Row {
        item: Item::Unread,
        each: Allowance::Held(64 * number::u64_of(LIVE_QUEUE_MAX) * UNREAD_COST),
        all: None,
    },
];

/// What a message that waits in a phone book counts for, in bytes: the longest letter and what is around it.
pub const UNREAD_COST: u64 = 2 * 1024;
/// Frames that one live socket may send a phone book. It is not read on before the next one is due. The callee of sixty
/// introductions at once sends 600 within a minute.
pub const SOCKET_FRAMES: Allowance = Allowance::each_second(50, 250);
/// How long a phone book remembers a name for a key that registered it only once. A daemon registers every 45 s.
pub const PIN_ONCE: Duration = Duration::from_secs(60 * 60);
