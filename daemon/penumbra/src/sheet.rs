//! The content of a mod's JSON, packed and counted while it is read: all texts in one string, eight bytes for each
//! reference, and limits that end the reading. So memory follows the mod's real size.

use super::{
    ModError,
    caps::{Caps, Count},
};
use fyteclub_proto::{
    game_path::GamePath,
    number::{index, u32_of},
};
use std::ops::Range;

/// A text of a [`Sheet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Text {
    start: u32,
    end: u32,
}

/// A range of a sheet's pairs or manipulations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stretch {
    pub start: u32,
    pub end: u32,
}

impl Stretch {
    fn range(self) -> Range<usize> {
        index(self.start)..index(self.end)
    }
}

/// A limit is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {max} {}", .count.says())]
pub(super) struct Over {
    pub count: Count,
    pub max: usize,
}

impl From<Over> for ModError {
    fn from(over: Over) -> Self {
        Self::TooMuch { count: over.count, max: over.max }
    }
}

#[derive(Default)]
pub(super) struct Sheet {
    caps: Caps,
    text: String,
    pairs: Vec<(Text, Text)>,
    manipulations: Vec<Text>,
    options: usize,
    conditions: usize,
    /// Names stored outside of `text`.
    names: usize,
    over: Option<Over>,
}

impl Sheet {
    pub(super) fn new(caps: Caps) -> Self {
        Self { caps, ..Self::default() }
    }

    /// Empties it and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.pairs.clear();
        self.manipulations.clear();
        (self.options, self.conditions, self.names) = (0, 0, 0);
    }

    /// The exceeded limit, if there is one: a parser's error does not tell.
    pub(super) fn over(&self) -> Option<Over> {
        self.over
    }

    fn check(&mut self, count: Count, number: usize) -> Result<(), Over> {
        let max = count.max(&self.caps);
        if number <= max {
            return Ok(());
        }
        let over = Over { count, max };
        self.over = Some(over);
        Err(over)
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), Over> {
        self.check(Count::Text, self.text.len() + self.names + text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// Where the next text begins.
    pub(super) fn mark(&self) -> u32 {
        u32_of(self.text.len())
    }

    pub(super) fn text_since(&self, mark: u32) -> Text {
        Text { start: mark, end: u32_of(self.text.len()) }
    }

    /// Removes everything pushed since.
    pub(super) fn cut(&mut self, mark: u32) {
        self.text.truncate(index(mark));
    }

    pub(super) fn put(&mut self, text: &str) -> Result<Text, Over> {
        let mark = self.mark();
        self.push(text)?;
        Ok(self.text_since(mark))
    }

    pub(super) fn get(&self, text: Text) -> &str {
        self.text.get(index(text.start)..index(text.end)).unwrap_or_default()
    }

    pub(super) fn put_pair(&mut self, pair: (Text, Text)) -> Result<(), Over> {
        self.check(Count::Pairs, self.pairs.len() + 1)?;
        self.pairs.push(pair);
        Ok(())
    }

    pub(super) fn put_manipulation(&mut self, text: Text) -> Result<(), Over> {
        self.check(Count::ManipulationBytes, index(text.end - text.start))?;
        self.check(Count::Manipulations, self.manipulations.len() + 1)?;
        self.manipulations.push(text);
        Ok(())
    }

    /// (pairs, manipulations) so far: the bounds of a stretch.
    pub(super) fn lengths(&self) -> (u32, u32) {
        (u32_of(self.pairs.len()), u32_of(self.manipulations.len()))
    }

    pub(super) fn pairs(&self, stretch: Stretch) -> &[(Text, Text)] {
        self.pairs.get(stretch.range()).unwrap_or_default()
    }

    pub(super) fn manipulations(&self, stretch: Stretch) -> &[Text] {
        self.manipulations.get(stretch.range()).unwrap_or_default()
    }

    pub(super) fn count_options(&mut self, more: usize) -> Result<(), Over> {
        self.options += more;
        self.check(Count::Options, self.options)
    }

    pub(super) fn count_conditions(&mut self, more: usize) -> Result<(), Over> {
        self.conditions += more;
        self.check(Count::Conditions, self.conditions)
    }

    pub(super) fn count_groups(&mut self, groups: usize) -> Result<(), Over> {
        self.check(Count::Groups, groups)
    }

    pub(super) fn count_name(&mut self, name: &str) -> Result<(), Over> {
        self.names += name.len();
        self.check(Count::Text, self.text.len() + self.names)
    }

    /// Copies pairs of another sheet; game paths are normalized.
    pub(super) fn keep_pairs(&mut self, from: &Self, stretch: Stretch) -> Result<Stretch, Over> {
        let start = self.lengths().0;
        for (key, value) in from.pairs(stretch) {
            let said = from.get(*key);
            let key = match said.parse::<GamePath>() {
                Ok(game_path) => self.put(game_path.as_str())?,
                Err(_) => self.put(said)?,
            };
            let value = self.put(from.get(*value))?;
            self.put_pair((key, value))?;
        }
        Ok(Stretch { start, end: self.lengths().0 })
    }

    pub(super) fn keep_manipulations(&mut self, from: &Self, stretch: Stretch) -> Result<Stretch, Over> {
        let start = self.lengths().1;
        for text in from.manipulations(stretch) {
            let text = self.put(from.get(*text))?;
            self.put_manipulation(text)?;
        }
        Ok(Stretch { start, end: self.lengths().1 })
    }
}
