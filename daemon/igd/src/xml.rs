//! A lenient XML reader: tags, texts and the five named entities. It accepts input that a strict parser refuses (a stray
//! `&`, an element without an end), because routers list other programs' descriptions unchecked. Attributes are skipped;
//! entities that the document defines are not resolved.

use std::borrow::Cow;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// An element's name without its namespace.
    Open(&'a str),
    Close(&'a str),
    Text(Cow<'a, str>),
}

/// Each event consumes at least one byte, except the close event of an empty element.
pub(crate) struct Events<'a> {
    rest: &'a str,
    /// The empty element (`<a/>`) whose close event is due.
    closing: Option<&'a str>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, closing: None }
    }

    /// Consumes up to and with `end`, or everything if `end` is missing.
    fn skip(&mut self, end: &str) -> &'a str {
        let (before, after) = self.rest.split_once(end).unwrap_or((self.rest, ""));
        self.rest = after;
        before
    }

    /// Consumes a tag after its `<`. Quoted attributes may contain `>`.
    fn tag(&mut self) -> &'a str {
        let mut quote = None;
        let end = self.rest.find(|character| {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (None, '"' | '\'') => quote = Some(character),
                (None, '>') => return true,
                _ => {}
            }
            false
        });
        let (inside, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = after.get(1..).unwrap_or_default();
        inside
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(name) = self.closing.take() {
            return Some(Event::Close(name));
        }
        while !self.rest.is_empty() {
            let Some(after) = self.rest.strip_prefix('<') else {
                let (text, after) = self.rest.split_at(self.rest.find('<').unwrap_or(self.rest.len()));
                self.rest = after;
                return Some(Event::Text(unescaped(text)));
            };
            self.rest = after;
            if let Some(after) = after.strip_prefix("![CDATA[") {
                self.rest = after;
                return Some(Event::Text(self.skip("]]>").into()));
            }
            if after.starts_with("!--") {
                self.skip("-->");
                continue;
            }
            let tag = self.tag();
            if tag.starts_with(['!', '?']) {
                continue;
            }
            if let Some(name) = tag.strip_prefix('/') {
                return Some(Event::Close(local(name)));
            }
            let name = local(tag.trim_end_matches('/'));
            self.closing = tag.ends_with('/').then_some(name);
            return Some(Event::Open(name));
        }
        None
    }
}

fn local(tag: &str) -> &str {
    let name = tag.split(|character: char| character.is_whitespace()).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let entity = [("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("apos;", '\''), ("amp;", '&')];
        let found = entity.iter().find_map(|(name, is)| Some((after.strip_prefix(name)?, *is)));
        let (next, character) = found.unwrap_or((after, '&'));
        out.push(character);
        rest = next;
    }
    out.push_str(rest);
    out.into()
}

/// The text of the first element with this name, trimmed. Text beyond `most` bytes is dropped. `None` without such an
/// element.
pub(crate) fn text_of(document: &str, name: &str, most: usize) -> Option<String> {
    let mut events = Events::new(document);
    events.find(|event| *event == Event::Open(name))?;
    let mut text = String::new();
    for event in events {
        match event {
            Event::Text(more) if text.len() + more.len() <= most => text.push_str(&more),
            Event::Text(_) | Event::Open(_) | Event::Close(_) => break,
        }
    }
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_texts_come_in_their_order() {
        let text = "<?xml version=\"1.0\"?><!DOCTYPE a><!-- <b> --><s:a x='>' y=\"/\"> &lt;b&gt;&amp;lt;&x<c/><d><![CDATA[<e>&amp;]]></d></s:a >";
        let events: Vec<_> = Events::new(text).collect();
        let expected = [
            Event::Open("a"),
            Event::Text(" <b>&lt;&x".into()),
            Event::Open("c"),
            Event::Close("c"),
            Event::Open("d"),
            Event::Text("<e>&amp;".into()),
            Event::Close("d"),
            Event::Close("a"),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn broken_text_ends_and_never_loops() {
        for text in [
            "<",
            "<a",
            "<a b='",
            "<!--",
            "<![CDATA[",
            "</",
            "&",
            "&#38;",
            "<>",
            "<:>",
            "</>",
            "<//>",
            "ä<ä>ä",
        ] {
            assert!(Events::new(text).count() <= text.len() + 1, "{text}");
        }
    }

    #[test]
    fn first_element_of_a_name_is_read() {
        let text = "<r><u:Port>\n 4000 </u:Port><Port>1</Port><Empty/><Open>x";
        let read = |name| text_of(text, name, 8);
        assert_eq!(read("Port").as_deref(), Some("4000"));
        assert_eq!(read("Empty").as_deref(), Some(""));
        assert_eq!(read("Open").as_deref(), Some("x"));
        assert_eq!(read("None"), None);
        assert_eq!(text_of("<a>123456789</a>", "a", 8).as_deref(), Some(""));
    }
}
