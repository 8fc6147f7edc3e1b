//! Local API v1: messages of a plugin, a script or a command line to the daemon on the same machine, in JSON frames.
//!
//! The client sends `hello` first; then any number of requests, each with an `id` of the client's choice that the reply
//! repeats; after `watch` the daemon pushes events. Frames are [`crate::frame`]s of at most
//! [`crate::limit::LOCAL_FRAME_MAX`] bytes. Keys are camelCase; unknown keys are ignored, so that both sides may add
//! some.
//!
//! Here are types and stable codes. The daemon carries requests out; [`endpoint`] has the rule for the socket's place.

pub mod endpoint;
pub mod event;
pub mod fault;
pub mod memory;
pub mod places;
mod raw;
pub mod reply;
pub mod request;
pub mod table;

pub use event::{CacheWork, Event, Numbered};
pub use fault::{Fault, FaultCode};
pub use raw::RawJson;
pub use table::{Request, Verb, verb};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned},
};

/// A client's frame: `{"id":1,"op":"status","params":{…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub id: u64,
    pub op: String,
    /// Absent, or `null`, if the verb has none or all of them are optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<RawJson>,
}

/// A daemon's frame: a reply to one call, or an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Notice {
    /// `{"id":1,"ok":true,"result":{…}}` or `{"id":1,"ok":false,"error":{…}}`. `id` is 0 if the call had none.
    Reply(Reply),
    /// `{"seq":7,"event":"transfer.progress","data":{…}}`.
    Event(Numbered),
    /// An event that this client does not know: skip it.
    Novel { event: String },
}

/// All keys of a daemon's frames.
#[derive(Deserialize)]
struct AnyNotice {
    id: Option<u64>,
    ok: Option<bool>,
    result: Option<RawJson>,
    error: Option<Fault>,
    #[serde(default)]
    seq: u64,
    event: Option<String>,
    data: Option<RawJson>,
}

/// By hand, because serde's untagged enums build a tree first, and a reply may have 32 MiB.
impl<'de> Deserialize<'de> for Notice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let any = AnyNotice::deserialize(from)?;
        match (any.id, any.ok, any.event) {
            (Some(id), Some(ok), _) => {
                Ok(Self::Reply(Reply { id, ok, result: any.result, error: any.error }))
            }
            (_, _, Some(event)) => Ok(match Event::of(&event, &any.data.unwrap_or_default()) {
                Ok(event) => Self::Event(Numbered { seq: any.seq, event }),
                Err(_) => Self::Novel { event },
            }),
            _ => Err(de::Error::custom("it is neither a reply nor an event")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub id: u64,
    pub ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<RawJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl Reply {
    /// # Errors A result that is not JSON (a map with keys other than strings): a mistake of the program.
    pub fn success<T: Serialize>(id: u64, result: &T) -> Result<Self, serde_json::Error> {
        Ok(Self { id, ok: true, result: Some(RawJson::of(result)?), error: None })
    }

    pub fn of(id: u64, answer: Result<RawJson, Fault>) -> Self {
        match answer {
            Ok(result) => Self { id, ok: true, result: Some(result), error: None },
            Err(fault) => Self::failure(id, fault),
        }
    }

    pub fn failure(id: u64, fault: Fault) -> Self {
        Self { id, ok: false, result: None, error: Some(fault) }
    }

    /// The typed result, or the fault.
    ///
    /// # Errors The daemon's fault, or [`FaultCode::BadReply`] if the result has another type.
    pub fn into_result<T: DeserializeOwned>(self) -> Result<T, Fault> {
        if let Some(fault) = self.error {
            return Err(fault);
        }
        if !self.ok {
            return Err(Fault::new(FaultCode::BadReply, "the daemon refused without a reason"));
        }
        self.result.unwrap_or_default().read().map_err(|error| {
            Fault::new(
                FaultCode::BadReply,
                format!(
                    "the daemon's answer was not understood ({error}); are daemon and client of one version?"
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_client_survives_newer_words() {
        let notice: Notice =
            serde_json::from_str(r#"{"event":"room.joined","data":{"room":1}}"#).expect("skipped");
        assert_eq!(notice, Notice::Novel { event: "room.joined".into() });
        let fault: Fault =
            serde_json::from_str(r#"{"code":"novel","message":"m","retryable":true}"#).expect("read");
        assert_eq!(fault.code, FaultCode::Unknown);
    }

    #[test]
    fn replies_and_events_are_distinguished() {
        let reply = r#"{"id":3,"ok":false,"error":{"code":"busy","message":"m","retryable":true}}"#;
        assert!(matches!(serde_json::from_str(reply), Ok(Notice::Reply(Reply { id: 3, ok: false, .. }))));
        let event = r#"{"event":"cache.evicted","data":{"files":1,"bytes":2}}"#;
        assert!(matches!(
            serde_json::from_str(event),
            Ok(Notice::Event(Numbered { seq: 0, event: Event::CacheEvicted { files: 1, bytes: 2 } }))
        ));
        let numbered = r#"{"seq":9,"event":"cache.evicted","data":{"files":1,"bytes":2}}"#;
        assert!(matches!(serde_json::from_str(numbered), Ok(Notice::Event(Numbered { seq: 9, .. }))));
    }

    #[test]
    fn every_request_reads_back() {
        let requests = [
            Request::Status,
            Request::Watch,
            Request::PeerFetch(request::PeerFetch { player: "A B@C".parse().expect("a name"), out: None }),
            Request::AppearancePublishMod(request::AppearancePublishMod {
                path: "/m".into(),
                options: vec![],
            }),
            Request::AppearancePublish(request::AppearancePublish::default()),
        ];
        for request in requests {
            let call = request.clone().into_call(1).expect("encodes");
            let text = serde_json::to_string(&call).expect("encodes");
            assert_eq!(
                Request::from_call(&serde_json::from_str(&text).expect("reads")),
                Ok(request),
                "{text}"
            );
        }
    }
}
