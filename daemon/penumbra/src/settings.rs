//! Which options are on: the mod's defaults, or a person's choices.

use super::{
    Choice, ModError,
    form::Container,
    group::{Group, Kind},
};
use fyteclub_proto::number::u64_of;

/// For each group in order, for each of its options: is it on?
pub(super) fn settle(groups: &[Group], choices: &[Choice]) -> Result<Vec<Vec<bool>>, ModError> {
    let mut chosen: Vec<Option<Vec<bool>>> = groups.iter().map(|_| None).collect();
    for choice in choices {
        let number = position(groups.iter().map(|group| &*group.name), &choice.group).ok_or_else(|| {
            let known = groups.iter().map(|group| group.name.to_string()).collect();
            ModError::UnknownGroup { group: choice.group.clone(), known }
        })?;
        let group = &groups[number];
        let on = chosen[number].get_or_insert_with(|| vec![false; group.options.len()]);
        choose(group, on, &choice.option)?;
    }
    Ok(groups.iter().zip(chosen).map(|(group, chosen)| chosen.unwrap_or_else(|| defaults(group))).collect())
}

fn choose(group: &Group, on: &mut [bool], option: &str) -> Result<(), ModError> {
    let single = matches!(group.kind, Kind::Single);
    let Some(number) = position(group.options.iter().map(|option| &*option.name), option) else {
        if option.is_empty() && !single {
            return Ok(());
        }
        let known = group.options.iter().map(|option| option.name.to_string()).collect();
        return Err(ModError::UnknownOption {
            group: group.name.to_string(),
            option: option.to_owned(),
            known,
        });
    };
    if let Some(first) = on.iter().position(|on| *on).filter(|first| single && *first != number) {
        let name = |option: &Container| option.name.to_string();
        return Err(ModError::TwoOptions {
            group: group.name.to_string(),
            first: name(&group.options[first]),
            second: name(&group.options[number]),
        });
    }
    on[number] = true;
    Ok(())
}

/// The exact name, or the only one that differs in letter case alone.
fn position<'a>(names: impl Iterator<Item = &'a str> + Clone, wanted: &str) -> Option<usize> {
    let exact = names.clone().position(|name| name == wanted);
    let same = |name: &&str| is_same(name, wanted);
    let only = || names.clone().filter(same).count() == 1;
    exact.or_else(|| if only() { names.clone().position(|name| same(&name)) } else { None })
}

fn is_same(name: &str, wanted: &str) -> bool {
    name.trim().to_lowercase() == wanted.trim().to_lowercase()
}

/// For each option: can [`settle`] switch it on, whatever the other groups are? Others need not be kept.
pub(super) fn may_be_on(group: &Group, choices: &[Choice]) -> Vec<bool> {
    let mut on = defaults(group);
    for choice in choices.iter().filter(|choice| is_same(&group.name, &choice.group)) {
        for (on, option) in on.iter_mut().zip(&group.options) {
            *on |= is_same(&option.name, &choice.option);
        }
    }
    on
}

/// `DefaultSettings`: an option's number for a Single group, a bit mask for the others. Too large a number means the
/// last option, too large a mask of a Combining group all; other masks lose their surplus bits.
fn defaults(group: &Group) -> Vec<bool> {
    let count = group.options.len();
    let mask = match group.kind {
        Kind::Single => {
            let number = group.defaults.min(u64_of(count.saturating_sub(1)));
            return (0..u64_of(count)).map(|option| option == number).collect();
        }
        Kind::Combining { .. } => group.defaults.min((1 << count) - 1),
        Kind::Multi | Kind::Imc { .. } => group.defaults,
    };
    (0..count).map(|option| option < 64 && mask >> option & 1 == 1).collect()
}
