//! The local API as a JSON Schema, from the same types as the page.

use super::source::{Body, Data, Field, Kind, Shape};
use super::{Api, params_name};
use serde_json::{Map, Value, json};

/// Whether keys that the schema does not name are allowed. Programs must allow them; the tests of this build do not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Allowed,
    Refused,
}

pub(crate) fn schema(api: &Api, others: Others) -> Value {
    let mut defs = Map::new();
    for (name, about, rule) in scalars(api) {
        let mut scalar: Value = serde_json::from_str(rule).expect("JSON");
        scalar["description"] = json!(about);
        defs.insert(name.to_owned(), scalar);
    }
    for (name, shape) in &api.shapes {
        defs.insert(name.clone(), of_shape(shape, others));
    }
    defs.insert("Call".into(), json!({"description": "A client's frame.", "oneOf": calls(api, others)}));
    defs.insert("Reply".into(), reply(others));
    defs.insert("Event".into(), json!({"description": "An event.", "oneOf": events(api, others)}));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "FyteClub local API, version 1",
        "description": "One frame. Keys that are not named here are to be ignored, and so are events with other names. \
            The result of each operation is named in `results`.",
        "oneOf": [{"$ref": "#/$defs/Call"}, {"$ref": "#/$defs/Reply"}, {"$ref": "#/$defs/Event"}],
        "results": api.verbs.iter().map(|row| (row.op.to_owned(), reference(row.reply))).collect::<Map<_, _>>(),
        "$defs": defs,
    })
}

/// Texts and numbers of the wire: name, description if the source lacks one for other languages, and rule.
const SCALARS: &[(&str, &str, &str)] = &[
    ("SocketAddr", "`IP:PORT`", r#"{"type": "string", "pattern": ":[0-9]+$"}"#),
    ("PlayerName", "", r#"{"type": "string", "minLength": 3, "maxLength": 128, "pattern": "^[^@]+@[^@]+$"}"#),
    (
        "PeerId",
        "A player's key: 32 bytes of Ed25519, in base64url without padding.",
        r#"{"type": "string", "pattern": "^ed25519:[A-Za-z0-9_-]{43}$"}"#,
    ),
    (
        "BlobHash",
        "The BLAKE3 hash of a file or a look.",
        r#"{"type": "string", "pattern": "^b3:[0-9a-f]{64}$"}"#,
    ),
    ("GamePath", "", r#"{"type": "string", "minLength": 1, "maxLength": 260}"#),
    ("Distance", "", r#"{"type": "number", "minimum": 0}"#),
    ("Rate", "Bytes a second.", r#"{"type": "integer", "minimum": 16384, "maximum": 18446744073709551615}"#),
];

pub(crate) fn is_scalar(name: &str) -> bool {
    SCALARS.iter().any(|(scalar, ..)| *scalar == name)
}

/// Each with its description.
pub(crate) fn scalars(api: &Api) -> impl Iterator<Item = (&'static str, String, &'static str)> {
    SCALARS.iter().map(|(name, about, rule)| {
        if about.is_empty() {
            (*name, api.source.about(name), *rule)
        } else {
            (*name, (*about).to_owned(), *rule)
        }
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Integer(max) => json!({"type": "integer", "minimum": 0, "maximum": max}),
        Kind::Number => json!({"type": "number"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Text => json!({"type": "string"}),
        Kind::List(of) => json!({"type": "array", "items": of_kind(of)}),
        Kind::Map(of) => json!({"type": "object", "additionalProperties": of_kind(of)}),
        Kind::Named(name) => reference(name),
    }
}

fn of_field(field: &Field) -> Value {
    let mut value = of_kind(&field.kind);
    if field.nullable {
        value = json!({"anyOf": [value, {"type": "null"}]});
    }
    if !field.about.is_empty() {
        value["description"] = json!(field.about);
    }
    value
}

fn of_fields(fields: &[Field], others: Others) -> Value {
    let properties: Map<_, _> = fields.iter().map(|field| (field.name.clone(), of_field(field))).collect();
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| &field.name).collect();
    closed(json!({"type": "object", "properties": properties, "required": required}), others)
}

fn closed(mut object: Value, others: Others) -> Value {
    if others == Others::Refused {
        object["additionalProperties"] = json!(false);
    }
    object
}

fn of_shape(shape: &Shape, others: Others) -> Value {
    let mut value = match &shape.body {
        Body::Object(fields) => of_fields(fields, others),
        Body::Word(words) => {
            json!({"type": "string", "enum": words.iter().map(|(word, _)| word).collect::<Vec<_>>()})
        }
    };
    if !shape.about.is_empty() {
        value["description"] = json!(shape.about);
    }
    value
}

fn calls(api: &Api, others: Others) -> Vec<Value> {
    let call = |row: &&'static fyteclub_proto::local::table::Row| {
        let mut properties = json!({"id": {"type": "integer", "minimum": 0}, "op": {"const": row.op}});
        let mut required = vec!["id", "op"];
        if let Some(name) = params_name(row) {
            properties["params"] = reference(&name);
            if api.needs_params(row) {
                required.push("params");
            }
        }
        closed(json!({"type": "object", "properties": properties, "required": required}), others)
    };
    api.verbs.iter().map(call).collect()
}

fn reply(others: Others) -> Value {
    let id = json!({"type": "integer", "minimum": 0, "description": "The call's; 0 where there was none to repeat."});
    let good = json!({"type": "object", "properties": {"id": id, "ok": {"const": true}, "result": {"type": "object"}},
        "required": ["id", "ok", "result"]});
    let bad = json!({"type": "object", "properties": {"id": id, "ok": {"const": false}, "error": reference("Fault")},
        "required": ["id", "ok", "error"]});
    json!({"description": "The answer to one call.", "oneOf": [closed(good, others), closed(bad, others)]})
}

fn events(api: &Api, others: Others) -> Vec<Value> {
    let event = |event: &super::source::Event| {
        let data = match &event.data {
            Data::Fields(fields) => of_fields(fields, others),
            Data::Shape(name) => reference(name),
        };
        let seq = json!({"type": "integer", "minimum": 0});
        let event = json!({"type": "object", "description": event.about,
            "properties": {"seq": seq, "event": {"const": event.name}, "data": data},
            "required": ["seq", "event", "data"]});
        closed(event, others)
    };
    api.events.iter().map(event).collect()
}
