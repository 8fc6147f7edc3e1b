//! A slice of the names: records packed into small pages that never move, and a hash table of their numbers.
//!
//! A table of whole records would be half empty after each doubling, at 100 bytes an empty place. Here a doubling
//! moves four bytes a record, and the records themselves leave less than a page unused. Nothing here knows what a
//! record means.

use super::record::Record;
use hashbrown::HashTable;

const PAGE: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Shard {
    index: HashTable<u32>,
    /// All full but the last.
    pages: Vec<Vec<Record>>,
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.pages.iter().flatten()
    }

    pub(super) fn find(&self, hash: u64, name: &str) -> Option<&Record> {
        let place = *self.index.find(hash, |&place| *self.at(place).name == *name)?;
        Some(self.at(place))
    }

    pub(super) fn find_mut(&mut self, hash: u64, name: &str) -> Option<&mut Record> {
        let place = *self.index.find(hash, |&place| *self.at(place).name == *name)?;
        Some(at_mut(&mut self.pages, place))
    }

    /// Adds a name that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, record: Record, hash_of: impl Fn(&str) -> u64) {
        let place = u32::try_from(self.len()).expect("max_records keeps a shard far below 2^32 records");
        if self.len().is_multiple_of(PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        self.pages.last_mut().expect("a page was just made if there was none").push(record);
        let pages = &self.pages;
        self.index.insert_unique(hash, place, |&place| hash_of(&at(pages, place).name));
    }

    pub(super) fn remove(&mut self, hash: u64, name: &str, hash_of: impl Fn(&str) -> u64) -> Option<Record> {
        let place = *self.index.find(hash, |&place| *self.at(place).name == *name)?;
        let removed = self.take(place, hash, &hash_of);
        self.give_back(hash_of);
        Some(removed)
    }

    /// Keeps the records that `keep` approves.
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&mut Record) -> bool,
        hash_of: impl Fn(&str) -> u64,
    ) {
        // From the end, so that the record which fills a gap has been judged already.
        for place in (0..self.len() as u32).rev() {
            let record = at_mut(&mut self.pages, place);
            if !keep(record) {
                let hash = hash_of(&record.name);
                self.take(place, hash, &hash_of);
            }
        }
        self.give_back(hash_of);
    }

    /// Moves the last record into the gap.
    fn take(&mut self, place: u32, hash: u64, hash_of: impl Fn(&str) -> u64) -> Record {
        if let Ok(entry) = self.index.find_entry(hash, |&found| found == place) {
            entry.remove();
        }
        let last_page = self.pages.last_mut().expect("a shard with a record has a page");
        let last = last_page.pop().expect("a page is dropped when its last record leaves");
        if last_page.is_empty() {
            self.pages.pop();
        }
        // The index lost one entry, so its length is the place that the last record had.
        let last_place = self.index.len() as u32;
        if last_place == place {
            return last;
        }
        if let Some(entry) = self.index.find_mut(hash_of(&last.name), |&found| found == last_place) {
            *entry = place;
        }
        std::mem::replace(at_mut(&mut self.pages, place), last)
    }

    fn give_back(&mut self, hash_of: impl Fn(&str) -> u64) {
        if self.index.capacity() > PAGE && self.len() < self.index.capacity() / 4 {
            let pages = &self.pages;
            self.index.shrink_to(self.index.len() * 2, |&place| hash_of(&at(pages, place).name));
        }
        if self.pages.capacity() > PAGE && self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }

    fn at(&self, place: u32) -> &Record {
        at(&self.pages, place)
    }
}

fn at(pages: &[Vec<Record>], place: u32) -> &Record {
    &pages[place as usize / PAGE][place as usize % PAGE]
}

fn at_mut(pages: &mut [Vec<Record>], place: u32) -> &mut Record {
    &mut pages[place as usize / PAGE][place as usize % PAGE]
}
