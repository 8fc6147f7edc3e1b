//! A mod's JSON as one thing, whichever version wrote it: the name, what is always on, and the groups in their order.

use super::{
    LeftOut, LeftOutReason, ModError,
    contents::{Caps, Contents, says_container, says_group},
    error::GroupFault,
    form::{Container, GroupForm, MetaForm, as_number},
    relative::fold,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Most groups of one mod; the largest known ones have about a hundred.
pub(super) const GROUPS_MAX: usize = 4096;
/// A Combining group of more options would need more than 256 containers; Penumbra ignores the rest, and so does this.
const COMBINING_OPTIONS_MAX: usize = 8;
/// The ten attributes of a model's variant.
const ATTRIBUTES: i64 = 0x3FF;
/// From this version on `meta.json` holds everything and Penumbra ignores the other files.
const VERSION_IN_ONE_FILE: i64 = 4;

pub(super) struct Package {
    pub name: String,
    pub default: Container,
    pub groups: Vec<Group>,
    /// The groups that do nothing.
    pub left_out: Vec<LeftOut>,
}

pub(super) struct Group {
    pub name: String,
    pub priority: i64,
    pub defaults: u64,
    pub options: Vec<Container>,
    pub condition: Value,
    pub kind: Kind,
}

pub(super) enum Kind {
    /// Exactly one option.
    Single,
    /// Any options, each with a priority of its own.
    Multi,
    /// Any options, and one container for each set of them: its number has the options' bits.
    Combining { containers: Vec<Container> },
    /// Any options, each flipping attributes of one IMC entry. No files.
    Imc { identifier: Map<String, Value>, entry: Map<String, Value> },
}

pub(super) fn read(contents: &mut dyn Contents, caps: Caps) -> Result<Package, ModError> {
    let mut names = contents.top()?;
    // As Windows lists a folder, and so as Penumbra numbers the groups.
    names.sort_by_key(|name| (fold(name), name.clone()));
    let find = |wanted: &str| {
        let exact = names.iter().find(|name| *name == wanted);
        exact.or_else(|| names.iter().find(|name| fold(name) == wanted)).cloned()
    };
    let mut reader = JsonReader { contents, caps, left: caps.json_total };

    let meta: MetaForm = match find("meta.json") {
        Some(name) => reader.read(&name)?,
        None => MetaForm::default(),
    };
    let (default, forms) = if meta.file_version >= VERSION_IN_ONE_FILE {
        (meta.default_data, meta.groups)
    } else {
        // Then the options were in `meta.json` in another form, and what they did not name was always on.
        if meta.file_version < 1 && !names.iter().any(|name| says_container(name)) {
            return Err(ModError::Old);
        }
        let default = match find("default_mod.json") {
            Some(name) => reader.read(&name)?,
            None => Container::default(),
        };
        let mut forms: Vec<GroupForm> = Vec::new();
        for name in names.iter().filter(|name| says_group(name)) {
            if forms.len() == GROUPS_MAX {
                return Err(ModError::TooManyGroups);
            }
            forms.push(reader.read(name)?);
        }
        (default, forms)
    };
    if forms.len() > GROUPS_MAX {
        return Err(ModError::TooManyGroups);
    }
    let name = match meta.name.trim() {
        "" => contents.name(),
        name => name.to_owned(),
    };
    let mut package = Package { name, default, groups: Vec::new(), left_out: Vec::new() };
    let mut seen = HashSet::new();
    for form in forms {
        package.add(form, &mut seen);
    }
    Ok(package)
}

struct JsonReader<'a> {
    contents: &'a mut dyn Contents,
    caps: Caps,
    left: u64,
}

impl JsonReader<'_> {
    fn read<T: DeserializeOwned>(&mut self, file: &str) -> Result<T, ModError> {
        let bytes = self.contents.json(file, self.caps.json.min(self.left))?;
        self.left -= bytes.len() as u64;
        if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
            return Err(ModError::Utf16 { file: file.to_owned() });
        }
        let text = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(&bytes);
        serde_json::from_slice(text).map_err(|source| ModError::Json { file: file.to_owned(), source })
    }
}

impl Package {
    fn add(&mut self, form: GroupForm, seen: &mut HashSet<String>) {
        let name = form.name.clone();
        let faults = match name.is_empty() {
            true => vec![GroupFault::Nameless],
            false if !seen.insert(name.clone()) => vec![GroupFault::SameName],
            false => match Group::new(form) {
                Ok((group, faults)) => {
                    self.groups.push(group);
                    faults
                }
                Err(fault) => vec![fault],
            },
        };
        self.left_out.extend(faults.into_iter().map(|fault| LeftOut {
            game_path: String::new(),
            file: name.clone(),
            reason: LeftOutReason::Group(fault),
        }));
    }
}

impl Group {
    fn new(form: GroupForm) -> Result<(Self, Vec<GroupFault>), GroupFault> {
        let mut options = form.options;
        let mut faults = Vec::new();
        // The numbers are Penumbra's own, and some tools write them.
        let kind = match form.kind.trim().to_ascii_lowercase().as_str() {
            "" | "single" | "0" => Kind::Single,
            "multi" | "1" => Kind::Multi,
            "imc" | "2" => {
                let (Value::Object(identifier), Value::Object(entry)) = (form.identifier, form.default_entry)
                else {
                    return Err(GroupFault::NoImcEntry);
                };
                if entry.get("MaterialId").and_then(as_number).unwrap_or_default() == 0 {
                    return Err(GroupFault::NoImcEntry);
                }
                if form.all_variants || form.only_attributes {
                    faults.push(GroupFault::Variants);
                }
                drop_unusable_imc_options(&mut options);
                Kind::Imc { identifier, entry }
            }
            "combining" | "3" => {
                options.truncate(COMBINING_OPTIONS_MAX);
                Kind::Combining { containers: form.containers }
            }
            _ => return Err(GroupFault::UnknownType(form.kind)),
        };
        let group = Self {
            name: form.name,
            priority: form.priority,
            defaults: form.default_settings.cast_unsigned(),
            options,
            condition: form.condition,
            kind,
        };
        Ok((group, faults))
    }
}

/// As Penumbra does when it loads one: the settings' bits count the options that are left.
fn drop_unusable_imc_options(options: &mut Vec<Container>) {
    let mut used = 0;
    let mut can_disable = false;
    options.retain_mut(|option| {
        option.attribute_mask &= ATTRIBUTES;
        let keep = !(option.is_disable_sub_mod && can_disable) && option.attribute_mask & used == 0;
        if keep {
            used |= option.attribute_mask;
            can_disable |= option.is_disable_sub_mod;
        }
        keep
    });
}
