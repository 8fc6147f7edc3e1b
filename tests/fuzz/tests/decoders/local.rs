//! The local API's JSON.

use crate::modest;
use fyteclub_fuzz::{fuzz, heap, seed::goldens};
use fyteclub_proto::{
    frame,
    id::BlobHash,
    limit::LOCAL_FRAME_MAX,
    local::{
        Call, FaultCode, Notice, Reply, Request,
        reply::{CacheVerified, Contact, Contacts, Fetched, FetchedFile, Invited, Peers, Published, Status},
    },
    number::{f64_of, u64_of},
};
use serde_json::{Value, json};

/// The parser may be wrong in the last bit of a fraction: such values are not compared.
fn exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_u64() || number.is_i64(),
        Value::Array(items) => items.iter().all(exact),
        Value::Object(fields) => fields.values().all(exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[test]
fn call() {
    fuzz!(goldens("local_v1", &["call_"]), |input: &[u8]| {
        let Ok(call) = modest(input, || serde_json::from_slice::<Call>(input)) else { return };
        let (id, op) = (call.id, call.op.clone());
        match modest(input, || Request::from_call(&call)) {
            Ok(request) => {
                assert_eq!(request.op(), op);
                let call = request.clone().into_call(id).expect("encodes");
                let text = serde_json::to_vec(&call).expect("encodes");
                let call: Call = serde_json::from_slice(&text).expect("its own text");
                assert_eq!(call.id, id);
                assert_eq!(Request::from_call(&call), Ok(request));
            }
            Err(fault) => {
                assert!(matches!(fault.code, FaultCode::BadRequest | FaultCode::Unsupported));
                assert!(!fault.retryable);
            }
        }
    });
}

#[test]
fn notice() {
    fuzz!(goldens("local_v1", &["reply_", "event_"]), |input: &[u8]| {
        let Ok(notice) = modest(input, || serde_json::from_slice::<Notice>(input)) else { return };
        let value = serde_json::to_value(&notice).expect("encodes");
        if exact(&value) {
            let text = serde_json::to_vec(&notice).expect("encodes");
            let again: Notice = serde_json::from_slice(&text).expect("its own text");
            assert_eq!(again, notice);
        }
        if let Notice::Reply(reply) = notice {
            let _any = reply.clone().into_result::<Status>();
            let _any = reply.clone().into_result::<Fetched>();
            let _any = reply.clone().into_result::<Peers>();
            let _any = reply.clone().into_result::<Contact>();
            let _any = reply.clone().into_result::<Contacts>();
            let _any = reply.clone().into_result::<Invited>();
            let _any = reply.clone().into_result::<Published>();
            let _any = reply.into_result::<CacheVerified>();
        }
    });
}

/// A look whose reply is about as long as a frame may be.
fn largest_look() -> Fetched {
    let file = |number: usize| FetchedFile {
        game_paths: vec![
            format!("chara/equipment/e{number:04}/texture/{}.tex", "x".repeat(200)).parse().expect("a path"),
        ],
        hash: BlobHash::of(&number.to_le_bytes()),
        size: 1 << 20,
        path: format!("/home/alice/.local/share/fyteclub/blobs/{number:064}.tex"),
        object: 0,
    };
    Fetched {
        player: "Alice Ashe@Gilgamesh".parse().expect("a name"),
        appearance: BlobHash::of(b"look"),
        files: (0..65_000).map(file).collect(),
        bytes_total: 0,
        bytes_transferred: 0,
        bytes_fetched: 0,
        seconds: 1.0,
        path: None,
        sources: vec![],
        objects: vec![],
        strings: Default::default(),
        out: None,
    }
}

/// Both ends of the longest reply: with a tree of its values, as before, and with its text.
#[test]
fn longest_reply_builds_no_tree() {
    let look = largest_look();
    let (before, tree_out) = heap::peak(|| {
        let reply = json!({ "id": 1, "ok": true, "result": serde_json::to_value(&look).expect("encodes") });
        frame::join(&serde_json::to_vec(&reply).expect("encodes"), LOCAL_FRAME_MAX).expect("fits")
    });
    let (after, text_out) = heap::peak(|| {
        let reply = Notice::Reply(Reply::success(1, &look).expect("encodes"));
        frame::json(&reply, LOCAL_FRAME_MAX).expect("fits")
    });
    let len = after.len();
    assert!(len == before.len() && len > LOCAL_FRAME_MAX / 10 * 9, "{len} bytes");
    let body = &after[frame::HEADER..];
    let (old, tree_in) = heap::peak(|| {
        let mut reply: Value = serde_json::from_slice(body).expect("reads");
        serde_json::from_value::<Fetched>(reply["result"].take()).expect("reads")
    });
    let (new, text_in) = heap::peak(|| match serde_json::from_slice(body).expect("reads") {
        Notice::Reply(reply) => reply.into_result::<Fetched>().expect("reads"),
        other => panic!("{other:?}"),
    });
    assert!(old == look && new == look);
    let of_frame = |bytes: usize| f64_of(u64_of(bytes)) / f64_of(u64_of(len));
    println!(
        "allocated at the peak, in lengths of the frame: sent {:.1}, was {:.1}; received {:.1}, was {:.1}",
        of_frame(text_out),
        of_frame(tree_out),
        of_frame(text_in),
        of_frame(tree_in)
    );
    assert!(text_out * 3 <= tree_out * 2, "a third less where it is sent");
    assert!(
        text_in * 20 <= tree_in * 17,
        "a seventh less where it is received, which is also what it was for"
    );
}
