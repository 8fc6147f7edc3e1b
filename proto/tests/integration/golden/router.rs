//! router_v1: what is said to home routers and read of them (RFC 6886, RFC 6887), and the journal of mappings.

use super::{Example, Reader, check, json, unhex};
use fyteclub_proto::{
    bytes::Bytes,
    reaching::mapping::{By, Entry, Journal, natpmp, pcp},
};

const NONCE: pcp::Nonce = [0xa1, 0xb2, 0xc3, 0xd4, 5, 6, 7, 8, 9, 10, 11, 12];

#[test]
fn words_with_routers_are_what_they_were() {
    let said =
        |name, bytes: Vec<u8>| Example::hex(name, bytes.clone(), &bytes, |bytes| Ok::<_, ()>(bytes.to_vec()));
    let (client, nowhere) = ([192, 168, 1, 5].into(), [0; 4].into());
    let map = |outside, address, lifetime| {
        let (nonce, inside) = (NONCE, 40_000);
        pcp::Request::Map { client, nonce, inside, outside, address, lifetime }.encode()
    };
    let pmp = |outside, lifetime| natpmp::Request::Map { inside: 40_000, outside, lifetime }.encode();
    let heard_pmp =
        |name, answer, text: &str| Example::hex(name, answer, &unhex(text), natpmp::Answer::decode);
    let heard_pcp = |name, answer, text: &str| Example::hex(name, answer, &unhex(text), pcp::Answer::decode);
    let address = [11, 22, 33, 44];
    let (inside, outside, lifetime, epoch) = (40_000, 40_001, 3600, 77);
    let granted =
        pcp::Answer::Map { epoch, lifetime, nonce: NONCE, inside, outside, address: address.into() };
    let refused = pcp::Answer::Refused { operation: 1, code: 8, nonce: Some(NONCE) };
    let entry = |by, nonce| Entry {
        by,
        router: [192, 168, 1, 1].into(),
        local: client,
        inside,
        outside,
        nonce: Bytes(nonce),
    };
    let journal = Journal {
        mappings: vec![entry(By::Pcp, NONCE), entry(By::NatPmp, [0; 12]), entry(By::Upnp, [0; 12])],
    };
    let examples = vec![
        said("natpmp_ask_address", natpmp::Request::Address.encode()),
        said("natpmp_ask_map", pmp(40_000, 3600)),
        said("natpmp_ask_remove", pmp(0, 0)),
        said("pcp_ask_announce", pcp::Request::Announce { client }.encode()),
        said("pcp_ask_map", map(40_000, nowhere, 3600)),
        said("pcp_ask_map_again", map(40_001, address.into(), 3600)),
        said("pcp_ask_remove", map(0, nowhere, 0)),
        heard_pmp(
            "natpmp_address",
            natpmp::Answer::Address { epoch, address: address.into() },
            "008000000000004d0b16212c",
        ),
        heard_pmp(
            "natpmp_map",
            natpmp::Answer::Map { epoch, inside, outside, lifetime },
            "008100000000004d9c409c4100000e10",
        ),
        heard_pmp(
            "natpmp_refused",
            natpmp::Answer::Refused { operation: 1, code: 3 },
            "008100030000004d9c409c4000000e10",
        ),
        heard_pcp(
            "pcp_announce",
            pcp::Answer::Announce { epoch },
            &format!("02800000000000000000004d{:024}", 0),
        ),
        heard_pcp(
            "pcp_map",
            granted,
            &format!(
                "0281000000000e100000004d{:024}a1b2c3d405060708090a0b0c110000009c409c41{:020}ffff0b16212c",
                0, 0
            ),
        ),
        heard_pcp(
            "pcp_refused",
            refused,
            &format!(
                "028100080000001e0000004d{:024}a1b2c3d405060708090a0b0c110000009c409c40{:020}ffffc0a80002",
                0, 0
            ),
        ),
        Example::json("journal", journal),
    ];
    let readers: &[(&str, Reader)] = &[("journal", json::<Journal>)];
    check("router_v1", examples, readers);
}
