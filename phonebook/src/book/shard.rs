//! A shard: records in small pages that never move, and a hash table of their numbers.
//!
//! A hash table of records would be half empty after each doubling, at 100 bytes a slot. Here a doubling moves eight
//! bytes per record, and less than a page is unused.

use super::record::Record;
use fyteclub_proto::number;
use hashbrown::HashTable;

const PAGE: usize = 32;

/// Half of the name's hash, and its record's number.
#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u32,
    number: u32,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    index: HashTable<Place>,
    /// All full except the last.
    pages: Vec<Vec<Record>>,
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.pages.iter().flatten()
    }

    pub(super) fn find(&self, hash: u64, name: &str) -> Option<&Record> {
        self.number(hash, name).map(|number| self.at(number))
    }

    pub(super) fn find_mut(&mut self, hash: u64, name: &str) -> Option<&mut Record> {
        let number = self.number(hash, name)?;
        Some(at_mut(&mut self.pages, number))
    }

    /// `record.name` must be new.
    pub(super) fn insert(&mut self, hash: u64, record: Record) {
        let number = u32::try_from(self.len()).expect("max_records keeps a shard far below 2^32 records");
        if self.len().is_multiple_of(PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        self.pages.last_mut().expect("a page was just made if there was none").push(record);
        let place = Place { hash: number::low_half(hash), number };
        self.index.insert_unique(spread(place.hash), place, |place| spread(place.hash));
    }

    /// `hash_of` must be the function that made every `hash`.
    pub(super) fn remove(&mut self, hash: u64, name: &str, hash_of: impl Fn(&str) -> u64) -> Option<Record> {
        let number = self.number(hash, name)?;
        let removed = self.take(number, hash, &hash_of);
        self.give_back();
        Some(removed)
    }

    /// Keeps the records for which `keep` returns true.
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&mut Record) -> bool,
        hash_of: impl Fn(&str) -> u64,
    ) {
        // Backwards, so that the record that fills a gap was visited already.
        for number in (0..number::u32_of(self.len())).rev() {
            let record = at_mut(&mut self.pages, number);
            if !keep(record) {
                let hash = hash_of(&record.name);
                self.take(number, hash, &hash_of);
            }
        }
        self.give_back();
    }

    /// Fills the gap with the last record.
    fn take(&mut self, number: u32, hash: u64, hash_of: impl Fn(&str) -> u64) -> Record {
        if let Ok(entry) =
            self.index.find_entry(spread(number::low_half(hash)), |place| place.number == number)
        {
            entry.remove();
        }
        let last_page = self.pages.last_mut().expect("a shard with a record has a page");
        let last = last_page.pop().expect("a page is dropped when its last record leaves");
        if last_page.is_empty() {
            self.pages.pop();
        }
        // The index has one entry less, so its length is the last record's number.
        let last_number = number::u32_of(self.index.len());
        if last_number == number {
            return last;
        }
        let last_hash = number::low_half(hash_of(&last.name));
        if let Some(place) = self.index.find_mut(spread(last_hash), |place| place.number == last_number) {
            place.number = number;
        }
        std::mem::replace(at_mut(&mut self.pages, number), last)
    }

    fn give_back(&mut self) {
        if self.index.capacity() > PAGE && self.len() < self.index.capacity() / 4 {
            self.index.shrink_to(self.index.len() * 2, |place| spread(place.hash));
        }
        if self.pages.capacity() > PAGE && self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }

    fn number(&self, hash: u64, name: &str) -> Option<u32> {
        let half = number::low_half(hash);
        let is_it = |place: &Place| place.hash == half && *self.at(place.number).name == *name;
        self.index.find(spread(half), is_it).map(|place| place.number)
    }

    fn at(&self, number: u32) -> &Record {
        let at = number::index(number);
        &self.pages[at / PAGE][at % PAGE]
    }
}

fn at_mut(pages: &mut [Vec<Record>], number: u32) -> &mut Record {
    let at = number::index(number);
    &mut pages[at / PAGE][at % PAGE]
}

/// The table needs entropy at both ends of 64 bits; the odd factor spreads it.
fn spread(half: u32) -> u64 {
    u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
