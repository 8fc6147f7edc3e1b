//! The local API's JSON.

use crate::modest;
use fyteclub_fuzz::{fuzz, seed::goldens};
use fyteclub_proto::local::{
    Call, FaultCode, Notice, Request,
    reply::{CacheVerified, Contact, Contacts, Fetched, Invited, Peers, Published, Status},
};
use serde_json::Value;

/// Fractions in JSON are read to the last bit but one: values that have one are not compared.
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
        match modest(input, || Request::from_call(call)) {
            Ok(request) => {
                assert_eq!(request.op(), op);
                let call = request.clone().into_call(id).expect("encodes");
                let text = serde_json::to_vec(&call).expect("encodes");
                let call: Call = serde_json::from_slice(&text).expect("its own text");
                assert_eq!(call.id, id);
                assert_eq!(Request::from_call(call), Ok(request));
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
