//! `metrics`: the numbers of `status`, in Prometheus' text format.

use crate::{
    exit::{Exit, Failure},
    render::Page,
};
use fyteclub_client::{Client, Status};
use serde::Serialize;
use std::collections::BTreeMap;

/// By name, with its label.
type Numbers = BTreeMap<String, u64>;

pub(crate) async fn show(client: &Client, page: &Page) -> Result<Exit, Failure> {
    page.show(&numbers(&client.status().await?), text)?;
    Ok(Exit::Done)
}

fn numbers(status: &Status) -> Numbers {
    let mut all = Numbers::new();
    let mut add = |name: &str, label: Option<(&str, String)>, count: u64| {
        let label = label.map(|(key, value)| format!("{{{key}=\"{value}\"}}")).unwrap_or_default();
        *all.entry(format!("fyteclub_{name}{label}")).or_default() += count;
    };
    for (item, counts) in &status.ledger {
        add("charged_total", Some(("item", item.clone())), counts.charged);
        add("refusals_total", Some(("item", item.clone())), counts.refusals);
    }
    for peer in &status.peers {
        add("peers", Some(("state", word(peer.state))), 1);
        if let Some(path) = peer.path {
            add("paths", Some(("path", word(path))), 1);
        }
    }
    for book in &status.phonebooks {
        add("phonebooks", None, 1);
        add("phonebooks_registered", None, book.ok.into());
        add("phonebooks_live", None, book.live.into());
    }
    add("transfers", None, u64::try_from(status.transfers.len()).unwrap_or(u64::MAX));
    add("cache_bytes", None, status.cache.bytes);
    add("cache_files", None, status.cache.files);
    add("cache_limit_bytes", None, status.cache.limit);
    add("events_total", None, status.seq);
    all
}

/// As in JSON.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

fn text(numbers: &Numbers) -> String {
    let (mut text, mut last) = (String::new(), "");
    for (whole, number) in numbers {
        let name = whole.split('{').next().unwrap_or_default();
        if name != last {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            text += &format!("# TYPE {name} {kind}\n");
            last = name;
        }
        text += &format!("{whole} {number}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_type_once() {
        let numbers =
            [("fyteclub_a_total{item=\"x\"}", 1), ("fyteclub_a_total{item=\"y\"}", 2), ("fyteclub_b", 3)];
        let numbers = numbers.map(|(name, number)| (name.to_owned(), number)).into();
        let lines: Vec<String> = text(&numbers).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "# TYPE fyteclub_a_total counter",
                "fyteclub_a_total{item=\"x\"} 1",
                "fyteclub_a_total{item=\"y\"} 2",
                "# TYPE fyteclub_b gauge",
                "fyteclub_b 3"
            ]
        );
    }
}
