//! Which container wins each game path. Penumbra's order: groups by falling priority, the later one first among equals;
//! within a Multi group its options by falling priority, the earlier one first among equals; the default last, whatever
//! the priorities; in each of them files before swaps. The first claim keeps the path, also when its file turns out to
//! be unusable: a lower one instead would be a look that nobody chose.

use super::{
    LeftOutReason, ModError, Resolved, ResolvedFile, Source,
    contents::{Contents, Obtained},
    error::LeftOuts,
    form::Container,
    group::{Group, Kind},
    manipulation::{Manipulations, imc},
    package::Package,
    relative,
    sheet::{Sheet, Text},
};
use fyteclub_proto::{
    game_path::{GamePath, known_extension},
    limit,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
};

/// One game path, and what a container shows there.
struct Claim {
    game_path: Text,
    to: Text,
    is_swap: bool,
}

/// The look under construction: the first claims win.
struct Look<'a> {
    sheet: &'a Sheet,
    claims: Vec<Claim>,
    /// Keys that are no game paths, so that each is listed once.
    refused: HashSet<&'a str>,
    manipulations: Manipulations,
    left_out: LeftOuts,
}

pub(super) fn resolve(
    package: Package,
    on: &[Vec<bool>],
    contents: &mut dyn Contents,
) -> Result<Resolved, ModError> {
    let Package { name, default, groups, sheet, left_out } = package;
    let mut look = Look {
        sheet: &sheet,
        claims: Vec::new(),
        refused: HashSet::new(),
        manipulations: Manipulations::default(),
        left_out,
    };
    let ids = groups.iter().zip(on).flat_map(|(group, on)| chosen(group, on));
    let ids: HashSet<&str> = ids.map(|(_, option)| &*option.id).collect();

    // Stable, so that of equals the later one stays first.
    let mut order: Vec<_> = groups.iter().zip(on).rev().collect();
    order.sort_by_key(|(group, _)| Reverse(group.priority));
    for (group, on) in order {
        look.add_group(group, on, &ids);
    }
    look.add(&default);
    look.share(name, contents)
}

fn chosen<'a>(group: &'a Group, on: &'a [bool]) -> impl Iterator<Item = (usize, &'a Container)> {
    group.options.iter().enumerate().filter(|(number, _)| on[*number])
}

impl<'a> Look<'a> {
    fn add_group(&mut self, group: &Group, on: &[bool], ids: &HashSet<&str>) {
        if !group.condition.is_met(ids) {
            return;
        }
        let options = chosen(group, on).filter(|(_, option)| option.condition.is_met(ids));
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
                    self.manipulations.add_value(&manipulation);
                }
            }
        }
    }

    fn add(&mut self, container: &Container) {
        for (stretch, is_swap) in [(container.files, false), (container.file_swaps, true)] {
            for (key, to) in self.sheet.pairs(stretch) {
                self.claim(Claim { game_path: *key, to: *to, is_swap });
            }
        }
        for manipulation in self.sheet.manipulations(container.manipulations) {
            self.manipulations.add(self.sheet.get(*manipulation));
        }
    }

    fn claim(&mut self, claim: Claim) {
        let key = self.sheet.get(claim.game_path);
        match key.parse::<GamePath>() {
            Ok(_) => self.claims.push(claim),
            Err(error) => {
                if !self.left_out.is_full() && self.refused.insert(key) {
                    self.left_out.add(key, self.sheet.get(claim.to), error.into());
                }
            }
        }
    }

    /// Obtains the winning files. Limits count only shareable files, and are checked before more is unpacked.
    fn share(mut self, name: String, contents: &mut dyn Contents) -> Result<Resolved, ModError> {
        let sheet = self.sheet;
        // Stable: the first claim of each path stays.
        self.claims.sort_by_key(|claim| sheet.get(claim.game_path));
        self.claims.dedup_by_key(|claim| sheet.get(claim.game_path));
        let mut files: BTreeMap<Source, ResolvedFile> = BTreeMap::new();
        let mut swaps = Vec::new();
        let mut game_paths = 0;
        for Claim { game_path, to, is_swap } in self.claims {
            let (key, to) = (sheet.get(game_path), sheet.get(to));
            let Ok(game_path) = key.parse::<GamePath>() else { continue };
            let shared = if is_swap {
                to.parse::<GamePath>().map_err(LeftOutReason::from).map(|to| swaps.push((game_path, to)))
            } else {
                find(contents, to)?.map(|Obtained { source, size }| {
                    let new = || ResolvedFile { source: source.clone(), game_paths: Vec::new(), size };
                    files.entry(source.clone()).or_insert_with(new).game_paths.push(game_path);
                })
            };
            match shared {
                Err(reason) => self.left_out.add(key, to, reason),
                Ok(()) => game_paths += 1,
            }
            check_limits(files.len(), swaps.len(), game_paths)?;
        }
        let mut files: Vec<_> = files.into_values().collect();
        files.sort_by(|a, b| a.game_paths.cmp(&b.game_paths));
        let (manipulations, manipulation_bytes) = self.manipulations.into_json();
        Ok(Resolved {
            name,
            files,
            swaps,
            manipulations,
            manipulation_bytes,
            left_out: self.left_out.into_list(),
        })
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
