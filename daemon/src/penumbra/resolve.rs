//! Who wins a game path. Penumbra's order: groups by falling priority, the earlier one first among equals; within a
//! Multi group its options in the same way; the default last, whatever the priorities; in each of them files before
//! swaps. Whoever comes first keeps the path, also when its file then turns out to be unusable: showing a lower one
//! instead would be a look that nobody chose.

use super::{
    LeftOut, LeftOutReason, ModError, Resolved, ResolvedFile, Source,
    condition::is_met,
    contents::{Contents, Obtained},
    form::Container,
    manipulation::{Manipulations, imc},
    package::{Group, Kind, Package},
    relative,
};
use fyteclub_proto::{
    game_path::{GamePath, known_extension},
    limit,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet, hash_map},
};

enum Winner<'a> {
    File(&'a str),
    Swap(&'a str),
}

/// The look, while its parts come in: the first ones win.
#[derive(Default)]
struct Look<'a> {
    winners: HashMap<GamePath, (&'a str, Winner<'a>)>,
    /// Keys that are no game paths, so that each is told once.
    refused: HashSet<&'a str>,
    manipulations: Manipulations,
    left_out: Vec<LeftOut>,
}

pub(super) fn resolve(
    package: Package,
    on: &[Vec<bool>],
    contents: &mut dyn Contents,
) -> Result<Resolved, ModError> {
    let mut look = Look { left_out: package.left_out, ..Look::default() };
    let ids = package.groups.iter().zip(on).flat_map(|(group, on)| chosen(group, on));
    let ids: HashSet<&str> = ids.map(|(_, option)| option.id.as_str()).collect();

    let mut groups: Vec<_> = package.groups.iter().zip(on).collect();
    groups.sort_by_key(|(group, _)| Reverse(group.priority));
    for (group, on) in groups {
        look.add_group(group, on, &ids);
    }
    look.add(&package.default);
    look.share(package.name.clone(), contents)
}

fn chosen<'a>(group: &'a Group, on: &'a [bool]) -> impl Iterator<Item = (usize, &'a Container)> {
    group.options.iter().enumerate().filter(|(number, _)| on[*number])
}

impl<'a> Look<'a> {
    fn add_group(&mut self, group: &'a Group, on: &'a [bool], ids: &HashSet<&str>) {
        if !is_met(&group.condition, ids) {
            return;
        }
        let options = chosen(group, on).filter(|(_, option)| is_met(&option.condition, ids));
        match &group.kind {
            Kind::Single => options.for_each(|(_, option)| self.add(option)),
            Kind::Multi => {
                let mut options: Vec<_> = options.map(|(_, option)| option).collect();
                options.sort_by_key(|option| Reverse(option.priority));
                options.into_iter().for_each(|option| self.add(option));
            }
            Kind::Combining { containers } => {
                let number = options.map(|(number, _)| 1 << number).sum::<usize>();
                if let Some(container) = containers.get(number) {
                    self.add(container);
                }
            }
            Kind::Imc { identifier, entry } => {
                if let Some(manipulation) = imc(identifier, entry, options.map(|(_, option)| option)) {
                    self.manipulations.add(&manipulation);
                }
            }
        }
    }

    fn add(&mut self, container: &'a Container) {
        for (key, file) in &container.files.0 {
            self.claim(key, file, Winner::File(file));
        }
        for (key, to) in &container.file_swaps.0 {
            self.claim(key, to, Winner::Swap(to));
        }
        for manipulation in &container.manipulations {
            self.manipulations.add(manipulation);
        }
    }

    fn claim(&mut self, key: &'a str, file: &str, winner: Winner<'a>) {
        match key.parse::<GamePath>() {
            Ok(game_path) => {
                if let hash_map::Entry::Vacant(vacant) = self.winners.entry(game_path) {
                    vacant.insert((key, winner));
                }
            }
            Err(error) => {
                if self.refused.insert(key) {
                    self.leave_out(key, file, error.into());
                }
            }
        }
    }

    fn leave_out(&mut self, game_path: &str, file: &str, reason: LeftOutReason) {
        self.left_out.push(LeftOut { game_path: game_path.to_owned(), file: file.to_owned(), reason });
    }

    /// Fetches what won. The limits count only what is there to be shared, and are checked before more is unpacked.
    fn share(mut self, name: String, contents: &mut dyn Contents) -> Result<Resolved, ModError> {
        let mut winners: Vec<_> = self.winners.drain().collect();
        winners.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut files: BTreeMap<Source, ResolvedFile> = BTreeMap::new();
        let mut swaps = Vec::new();
        let mut game_paths = 0;
        for (game_path, (key, winner)) in winners {
            let fault = match winner {
                Winner::Swap(to) => match to.parse::<GamePath>() {
                    Ok(target) => {
                        swaps.push((game_path, target));
                        None
                    }
                    Err(error) => Some((to, error.into())),
                },
                Winner::File(file) => match find(contents, file)? {
                    Ok(Obtained { source, size }) => {
                        let new = ResolvedFile { source: source.clone(), game_paths: Vec::new(), size };
                        files.entry(source).or_insert(new).game_paths.push(game_path);
                        None
                    }
                    Err(reason) => Some((file, reason)),
                },
            };
            match fault {
                Some((file, reason)) => self.leave_out(key, file, reason),
                None => game_paths += 1,
            }
            check_limits(files.len(), swaps.len(), game_paths)?;
        }
        let mut files: Vec<_> = files.into_values().collect();
        files.sort_by(|a, b| a.game_paths.cmp(&b.game_paths));
        self.left_out.sort_by(|a, b| (&a.game_path, &a.file).cmp(&(&b.game_path, &b.file)));
        let manipulations = self.manipulations.into_list();
        Ok(Resolved { name, files, swaps, manipulations, left_out: self.left_out })
    }
}

fn check_limits(files: usize, swaps: usize, game_paths: usize) -> Result<(), ModError> {
    if files > limit::FILES_MAX {
        return Err(ModError::TooManyFiles);
    }
    if swaps > limit::SWAPS_MAX {
        return Err(ModError::TooManySwaps);
    }
    if game_paths > limit::GAME_PATHS_MAX {
        return Err(ModError::TooManyGamePaths);
    }
    Ok(())
}

fn find(contents: &mut dyn Contents, file: &str) -> Result<Result<Obtained, LeftOutReason>, ModError> {
    let parts = match relative::parts(file) {
        Ok(parts) => parts,
        Err(reason) => return Ok(Err(reason)),
    };
    if known_extension(file).is_none() {
        return Ok(Err(LeftOutReason::Extension));
    }
    contents.obtain(&parts)
}
