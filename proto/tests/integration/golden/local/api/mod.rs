//! The local API for authors of programs in other languages: `docs/LOCAL_API.md` and `docs/local-api.schema.json`,
//! generated from proto's source and compared with the goldens.

mod page;
mod schema;
mod source;

use super::{Example, calls, events, faults, replies};
use fyteclub_proto::local::{
    Call, Request,
    table::{Row, VERBS},
};
use jsonschema::Validator;
use schema::{Others, is_scalar, schema};
use serde_json::Value;
use source::{Body, Data, Event, Field, Kind, Shape, Source};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

/// Below this line the page is generated.
const MARK: &str = "<!-- From here on written from proto's source: see CONTRIBUTING. -->\n";

pub(crate) struct Api {
    source: Source,
    verbs: &'static [&'static Row],
    events: Vec<Event>,
    /// The types of parameters, results and events.
    shapes: BTreeMap<String, Shape>,
}

impl Api {
    fn read() -> Self {
        let source = Source::read();
        let events = source.events();
        let mut api = Self { source, verbs: VERBS, events, shapes: BTreeMap::new() };
        for row in VERBS {
            if let (Some(path), Some(name)) = (row.params, params_name(row)) {
                api.add("request", name, path.rsplit("::").next().unwrap_or(path).trim());
            }
            api.add("reply", row.reply.to_owned(), row.reply);
        }
        api.add("fault", "Fault".to_owned(), "Fault");
        let of_events: Vec<Kind> = (api.events.iter())
            .flat_map(|event| match &event.data {
                Data::Fields(fields) => fields.iter().map(|field| field.kind.clone()).collect(),
                Data::Shape(name) => vec![Kind::Named(name.clone())],
            })
            .collect();
        of_events.iter().for_each(|kind| api.follow("event", kind));
        api
    }

    fn add(&mut self, module: &str, known_as: String, name: &str) {
        if is_scalar(name) || self.shapes.contains_key(&known_as) {
            return;
        }
        let shape = self.source.shape(module, name);
        let kinds: Vec<Kind> = match &shape.body {
            Body::Object(fields) => fields.iter().map(|field| field.kind.clone()).collect(),
            Body::Word(_) => Vec::new(),
        };
        self.shapes.insert(known_as, shape);
        kinds.iter().for_each(|kind| self.follow(module, kind));
    }

    fn follow(&mut self, module: &str, kind: &Kind) {
        match kind {
            Kind::List(of) | Kind::Map(of) => self.follow(module, of),
            Kind::Named(name) => self.add(module, name.clone(), name),
            Kind::Integer(_) | Kind::Number | Kind::Flag | Kind::Text => {}
        }
    }

    /// Whether an operation requires parameters.
    fn needs_params(&self, row: &Row) -> bool {
        self.params(row).iter().any(|field| field.required)
    }

    fn params(&self, row: &Row) -> &[Field] {
        match params_name(row).map(|name| &self.shapes[&name].body) {
            Some(Body::Object(fields)) => fields,
            Some(Body::Word(_)) | None => &[],
        }
    }
}

/// The name of an operation's parameters: their type's, distinct from a result of the same name.
fn params_name(row: &Row) -> Option<String> {
    let name = row.params?.rsplit("::").next()?.trim();
    let is_reply = VERBS.iter().any(|row| row.reply == name);
    Some(if is_reply { format!("{name}Params") } else { name.to_owned() })
}

fn validator(schema: &Value, def: &str) -> Validator {
    let mut schema = schema.clone();
    schema["oneOf"] = serde_json::json!([{"$ref": format!("#/$defs/{def}")}]);
    jsonschema::validator_for(&schema).expect("a schema")
}

fn examples() -> Vec<Example> {
    [calls(), replies(), events(), faults()].into_iter().flatten().collect()
}

fn value(example: &Example) -> Value {
    serde_json::from_str(&example.text).expect("JSON")
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// Compares a file with its generated text.
fn is_current(path: &Path, text: &str) {
    if env::var_os("BLESS").is_some() {
        fs::write(path, text).expect("a writable checkout");
    }
    let is = fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        is == text,
        "{} is not what the source says. Write it anew, and read what changed: BLESS=1 cargo test -p fyteclub-proto local::",
        path.display()
    );
}

#[test]
fn page_is_current() {
    let path = docs("LOCAL_API.md");
    let is = fs::read_to_string(&path).expect("it has a head").replace("\r\n", "\n");
    let (head, _) = is.split_once(MARK).expect("the mark is there");
    is_current(&path, &format!("{head}{MARK}\n{}", page::page(&Api::read())));
}

#[test]
fn schema_is_current() {
    let text = serde_json::to_string_pretty(&schema(&Api::read(), Others::Allowed)).expect("encodes");
    is_current(&docs("local-api.schema.json"), &(text + "\n"));
}

#[test]
fn goldens_match_the_schema() {
    let api = Api::read();
    let schemas = [Others::Allowed, Others::Refused].map(|others| schema(&api, others));
    for example in examples() {
        let value = value(&example);
        let (frame, inner): (_, Vec<(&str, &Value)>) = match example.name.split('_').next() {
            Some("call") => ("Call", vec![]),
            Some("event") => ("Event", vec![]),
            Some("reply") if value["ok"] == true => ("Reply", vec![(example.shape, &value["result"])]),
            Some("reply") => ("Reply", vec![]),
            _ => {
                // How an older client reads an unknown code is never on the wire.
                let sent =
                    value.as_array().expect("faults").iter().filter(|fault| fault["code"] != "unknown");
                ("", sent.map(|fault| ("Fault", fault)).collect())
            }
        };
        for schema in &schemas {
            let framed = Some((frame, &value)).filter(|(frame, _)| !frame.is_empty());
            for (def, value) in framed.into_iter().chain(inner.iter().copied()) {
                if let Err(error) = validator(schema, def).validate(value) {
                    panic!("{} is no {def}: {error}\n{value:#}", example.name);
                }
            }
        }
    }
}

/// The schema has the whole source, because unknown keys are refused above; and only the source: each key, word and
/// operation is in a golden.
#[test]
fn schema_has_nothing_without_a_golden() {
    let api = Api::read();
    let mut said = BTreeSet::new();
    examples().iter().for_each(|example| walk(&value(example), &mut said));
    let mut never = Vec::new();
    for (name, shape) in &api.shapes {
        match &shape.body {
            Body::Object(fields) => never.extend(
                fields
                    .iter()
                    .filter(|field| !said.contains(&field.name))
                    .map(|field| format!("{name}.{}", field.name)),
            ),
            Body::Word(words) => never.extend(
                words
                    .iter()
                    .filter(|(word, _)| !said.contains(word))
                    .map(|(word, _)| format!("{name} {word}")),
            ),
        }
    }
    never.extend(api.verbs.iter().filter(|row| !said.contains(row.op)).map(|row| row.op.to_owned()));
    for event in &api.events {
        if !said.contains(&event.name) {
            never.push(event.name.clone());
        }
        if let Data::Fields(fields) = &event.data {
            let unsaid = fields.iter().filter(|field| !said.contains(&field.name));
            never.extend(unsaid.map(|field| format!("{}.{}", event.name, field.name)));
        }
    }
    assert!(never.is_empty(), "no golden has {never:?}");
}

/// All keys and texts.
fn walk(value: &Value, said: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            said.insert(key.clone());
            walk(value, said);
        }),
        Value::Array(items) => items.iter().for_each(|item| walk(item, said)),
        Value::String(text) => drop(said.insert(text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Leaves out each key of each call in turn, and makes it null: the daemon accepts that exactly where the schema says
/// so.
#[test]
fn schema_marks_optional_parameters() {
    let schema = schema(&Api::read(), Others::Allowed);
    let validator = validator(&schema, "Call");
    let mut tried = 0;
    for example in calls() {
        let whole = value(&example);
        let mut places = Vec::new();
        keys(&whole["params"], "/params", &mut places);
        for (object, key) in places {
            for null in [false, true] {
                let mut call = whole.clone();
                let fields = call.pointer_mut(&object).and_then(Value::as_object_mut).expect("an object");
                if null {
                    fields.insert(key.clone(), Value::Null)
                } else {
                    fields.remove(&key)
                };
                let parsed: Call = serde_json::from_value(call.clone()).expect("a call");
                let (taken, allowed) = (Request::from_call(&parsed), validator.is_valid(&call));
                assert_eq!(
                    taken.is_ok(),
                    allowed,
                    "{}, {object}/{key}, null: {null}: {taken:?}",
                    example.name
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried} keys");
}

fn keys(value: &Value, at: &str, places: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            // The content of `ext` is the plugins'.
            if !at.ends_with("/ext") {
                places.push((at.to_owned(), key.clone()));
            }
            keys(value, &format!("{at}/{key}"), places);
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(nth, item)| keys(item, &format!("{at}/{nth}"), places));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Names in the table that nothing else checks.
#[test]
fn rows_name_existing_items() {
    let api = Api::read();
    for row in api.verbs {
        for event in row.events {
            assert!(api.events.iter().any(|known| known.name == *event), "{}: no event {event}", row.op);
        }
        let words = row.op.split('.').map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        });
        let name: String = words.collect();
        if let Some(params) = row.params {
            let last = params.rsplit("::").next().unwrap_or(params).trim();
            assert!(last == name || last == "Who", "{} has the parameters {last}", row.op);
        }
    }
}
