//! The local API as a page for people, from the same types as the schema.

use super::source::{Body, Data, Field, Kind, plain};
use super::{
    Api, params_name,
    schema::{is_scalar, scalars},
};
use fyteclub_proto::local::{
    FaultCode,
    table::{COMMON_FAULTS, Row},
};
use std::fmt::Write;

/// The generated part, in Markdown.
pub(crate) fn page(api: &Api) -> String {
    let mut page = String::new();
    let faults = |faults: &[FaultCode]| {
        faults.iter().map(|code| format!("`{}`", word(*code))).collect::<Vec<_>>().join(", ")
    };
    line(&mut page, "## Operations\n");
    line(&mut page, "| `op` | what it does | parameters | result |\n|---|---|---|---|");
    for row in api.verbs {
        let first = plain(row.about);
        let first = first
            .split_once(". ")
            .map_or(first.as_str(), |(first, _)| first)
            .trim_end_matches('.')
            .to_owned();
        let fields = params(api, row);
        let brief = fields.iter().map(|field| {
            if field.required { format!("`{}`", field.name) } else { format!("`{}?`", field.name) }
        });
        let brief = brief.collect::<Vec<_>>().join(", ");
        let (op, reply) = (row.op, link(row.reply));
        line(&mut page, &format!("| [`{op}`](#{}) | {first} | {} | {reply} |", anchor(op), dash(&brief)));
    }
    line(&mut page, &format!("\nEvery operation may fail with {}.\n", faults(COMMON_FAULTS)));
    for row in api.verbs {
        line(&mut page, &format!("### {}\n\n{}\n", row.op, plain(row.about)));
        let fields = params(api, row);
        if !fields.is_empty() {
            table(&mut page, "parameter", &fields, |field| match (field.required, field.null_says) {
                (true, _) => "required",
                (false, true) => "optional, `null` is no limit",
                (false, false) => "optional, `null` is absent",
            });
        }
        line(&mut page, &format!("- result: {}", link(row.reply)));
        if !row.events.is_empty() {
            let events = row.events.iter().map(|event| format!("[`{event}`](#event-{})", anchor(event)));
            line(&mut page, &format!("- events: {}", events.collect::<Vec<_>>().join(", ")));
        }
        if !row.faults.is_empty() {
            line(&mut page, &format!("- faults: {}", faults(row.faults)));
        }
        line(&mut page, &format!("- since version {}", row.since));
        if row.takes_long {
            line(
                &mut page,
                "- takes long: keeps no other call of its client waiting, and ends when its client leaves",
            );
        }
        if !row.command.is_empty() {
            line(&mut page, &format!("- `fyteclubctl {}`", row.command));
        }
        line(&mut page, "");
    }
    line(&mut page, "## Events\n");
    for event in &api.events {
        let (name, id) = (&event.name, anchor(&event.name));
        line(&mut page, &format!("### <a id=\"event-{id}\"></a>{name}\n\n{}\n", event.about));
        match &event.data {
            Data::Shape(name) => line(&mut page, &format!("Its `data` is {}.\n", link(name))),
            Data::Fields(fields) => table(&mut page, "field", fields, presence),
        }
    }
    line(&mut page, "## Types\n");
    for (name, shape) in &api.shapes {
        let is_params = api.verbs.iter().any(|row| params_name(row).as_ref() == Some(name));
        if is_params || name == "FaultCode" {
            continue;
        }
        line(&mut page, &format!("### <a id=\"type-{}\"></a>{name}\n", anchor(name)));
        if !shape.about.is_empty() {
            line(&mut page, &format!("{}\n", shape.about));
        }
        match &shape.body {
            Body::Object(fields) if fields.is_empty() => {}
            Body::Object(fields) => table(&mut page, "field", fields, presence),
            Body::Word(words) => {
                line(&mut page, "A text, one of these. New ones may come.\n\n| word | meaning |\n|---|---|");
                words
                    .iter()
                    .for_each(|(word, about)| line(&mut page, &format!("| `{word}` | {} |", dash(about))));
                line(&mut page, "");
            }
        }
    }
    line(&mut page, "### Texts and numbers\n\n| type | on the wire | |\n|---|---|---|");
    for (name, about, rule) in scalars(api) {
        line(&mut page, &format!("| {name} | `{}` | {about} |", rule.replace('|', "\\|")));
    }
    line(&mut page, "");
    line(&mut page, "## Faults\n\n| `code` | `retryable` | meaning, and what to do |\n|---|---|---|");
    let Body::Word(codes) = &api.shapes["FaultCode"].body else { panic!("codes are words") };
    for (code, about) in codes {
        let parsed: FaultCode = serde_json::from_value(code.as_str().into()).expect("a code");
        let again = if parsed.is_retryable() { "yes" } else { "no" };
        line(&mut page, &format!("| `{code}` | {again} | {about} |"));
    }
    page
}

fn params(api: &Api, row: &Row) -> Vec<Field> {
    match params_name(row).map(|name| &api.shapes[&name].body) {
        Some(Body::Object(fields)) => fields.clone(),
        Some(Body::Word(_)) | None => Vec::new(),
    }
}

fn presence(field: &Field) -> &'static str {
    match (field.required, field.nullable) {
        (true, false) => "always",
        (true, true) => "always, or `null`",
        (false, false) => "may be absent",
        (false, true) => "optional, `null` is absent",
    }
}

fn table(page: &mut String, what: &str, fields: &[Field], presence: impl Fn(&Field) -> &'static str) {
    line(page, &format!("| {what} | type | | |\n|---|---|---|---|"));
    for field in fields {
        let (kind, presence) = (of_kind(&field.kind), presence(field));
        line(page, &format!("| `{}` | {kind} | {presence} | {} |", field.name, field.about));
    }
    line(page, "");
}

fn of_kind(kind: &Kind) -> String {
    match kind {
        Kind::Integer(max) if *max == u64::MAX => "integer".to_owned(),
        Kind::Integer(max) => format!("integer, at most {max}"),
        Kind::Number => "number".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::List(of) => format!("list of {}", of_kind(of)),
        Kind::Map(of) => format!("object of {}", of_kind(of)),
        Kind::Named(name) => link(name),
    }
}

fn link(name: &str) -> String {
    if is_scalar(name) {
        format!("[{name}](#texts-and-numbers)")
    } else if name == "FaultCode" {
        format!("[{name}](#faults)")
    } else {
        format!("[{name}](#type-{})", anchor(name))
    }
}

/// Markdown's anchor of a heading.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace('.', "")
}

fn word(code: FaultCode) -> String {
    serde_json::to_value(code).expect("a code").as_str().unwrap_or_default().to_owned()
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a string takes all");
}
