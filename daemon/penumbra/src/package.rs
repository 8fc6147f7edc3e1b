//! A mod's JSON in one form for all versions: the name, the default container, and the groups in their order.
//!
//! Each file is read into a sheet of its own, and selectable parts are copied into the mod's: so memory follows the
//! look, and not everything that a mod offers.

use super::{
    Choice, LeftOutReason, ModError,
    caps::Caps,
    condition::skip,
    contents::{Contents, says_container, says_group},
    error::{GroupFault, LeftOuts, cut},
    form::{Container, Each, GroupForm, One},
    group::{Group, Kind},
    lenient::{Lenient, Refusal},
    manipulation::as_number,
    relative::fold,
    scalar::Scalar,
    settings::may_be_on,
    sheet::{Over, Sheet},
};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value, de::IoRead};
use std::{collections::HashSet, fmt, io::Read, marker::PhantomData};

/// A Combining group of more options would need more than 256 containers; Penumbra ignores the rest, and so does this.
const COMBINING_OPTIONS_MAX: usize = 8;
/// The ten attributes of a model's variant.
const ATTRIBUTES: i64 = 0x3FF;
/// Longest entry of an Imc group, as JSON: real ones have about 200 bytes, and each is parsed into a tree.
const IMC_BYTES_MAX: usize = 4 * 1024;
/// From this version on `meta.json` has everything and Penumbra ignores the other files.
const VERSION_IN_ONE_FILE: i64 = 4;

pub(super) struct Package {
    pub name: String,
    pub default: Container,
    pub groups: Vec<Group>,
    /// What `default` and `groups` refer to.
    pub sheet: Sheet,
    /// The groups without effect.
    pub left_out: LeftOuts,
}

pub(super) fn read(contents: &mut dyn Contents, choices: &[Choice], caps: Caps) -> Result<Package, ModError> {
    let mut names = contents.top()?;
    // As Windows lists a folder, and so as Penumbra numbers the groups: by upper case.
    names.sort_by_cached_key(|name| (windows_order(name), name.clone()));
    let find = |wanted: &str| {
        let exact = names.iter().find(|name| *name == wanted);
        exact.or_else(|| names.iter().find(|name| fold(name) == wanted)).cloned()
    };
    let fallback = contents.name();
    let mut reader = JsonReader { contents, caps, left: caps.json_total, sheet: Sheet::new(caps) };
    let mut book = Book::new(choices, caps);
    let mut meta = Meta::default();
    if let Some(name) = find("meta.json") {
        let mut of_meta = Book::new(choices, caps);
        meta = reader
            .read(&name, |json, sheet| MetaSeed { sheet, book: &mut of_meta }.deserialize(json))
            .map_err(|fault| of_meta.sheet.over().map_or(fault, JsonFault::Over).of_mod(&name, caps))?;
        if meta.file_version >= VERSION_IN_ONE_FILE {
            book = of_meta;
        }
    }
    if meta.file_version < VERSION_IN_ONE_FILE {
        // In that version `meta.json` had the options in another form, and files that they did not name were always on.
        if meta.file_version < 1 && !names.iter().any(|name| says_container(name)) {
            return Err(ModError::Old);
        }
        if let Some(name) = find("default_mod.json") {
            let form = reader
                .read(&name, |json, sheet| One::<Container>(sheet, PhantomData).deserialize(json))
                .map_err(|fault| fault.of_mod(&name, caps))?;
            if let Some(form) = form {
                book.take_default(&reader.sheet, form)?;
            }
        }
        for name in names.iter().filter(|name| says_group(name)) {
            match reader.read(name, |json, sheet| One::<GroupForm>(sheet, PhantomData).deserialize(json)) {
                Ok(Some(form)) => book.take_group(&reader.sheet, form)?,
                // One broken group is no reason to drop the others.
                Ok(None) => book.leave_out(name, GroupFault::Broken("it is `null`".into())),
                Err(fault) => book.leave_out(name, fault.of_group(name, caps)?),
            }
        }
    }
    let name = match meta.name.trim() {
        "" => fallback,
        name => name.to_owned(),
    };
    let Book { sheet, default, groups, left_out, .. } = book;
    Ok(Package { name, default, groups, sheet, left_out })
}

/// Windows compares names in upper case, letter by letter.
fn windows_order(name: &str) -> Vec<u16> {
    let upper = name.chars().map(|c| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    });
    let mut units = [0; 2];
    upper.flat_map(|c| c.encode_utf16(&mut units).to_vec()).collect()
}

/// Why one JSON file cannot be used.
#[derive(Debug)]
enum JsonFault {
    /// The file itself: not there, no file, unreadable.
    File(ModError),
    Utf16,
    TooLong {
        cap: u64,
    },
    Over(Over),
    Syntax {
        says: String,
        line: u64,
        column: u64,
    },
}

impl JsonFault {
    fn of_mod(self, file: &str, caps: Caps) -> ModError {
        let file = file.to_owned();
        match self {
            Self::File(error) => error,
            Self::Utf16 => ModError::Utf16 { file },
            Self::TooLong { cap } if cap < caps.json => ModError::JsonTotal { limit: caps.json_total },
            Self::TooLong { cap } => ModError::JsonTooLarge { file, limit: cap },
            Self::Over(over) => over.into(),
            Self::Syntax { says, line, column } => ModError::Json { file, says, line, column },
        }
    }

    /// A fault of one group's file leaves that group out. A limit refuses the whole mod.
    fn of_group(self, file: &str, caps: Caps) -> Result<GroupFault, ModError> {
        match self {
            Self::File(ModError::Unusable { reason, .. }) => Ok(GroupFault::Broken(reason.to_string())),
            Self::File(ModError::Read { source, .. }) => Ok(GroupFault::Broken(source.to_string())),
            Self::Utf16 => Ok(GroupFault::Broken("it is UTF-16; save it as UTF-8".into())),
            Self::Syntax { says, line, column } => Ok(GroupFault::Json { says, line, column }),
            fault @ (Self::File(_) | Self::TooLong { .. } | Self::Over(_)) => Err(fault.of_mod(file, caps)),
        }
    }
}

struct JsonReader<'a> {
    contents: &'a mut dyn Contents,
    caps: Caps,
    left: u64,
    /// The content of the last file.
    sheet: Sheet,
}

type Json<'a, 'b> = serde_json::Deserializer<IoRead<&'a mut Lenient<Box<dyn Read + 'b>>>>;

impl JsonReader<'_> {
    fn read<T>(
        &mut self,
        file: &str,
        parse: impl FnOnce(&mut Json<'_, '_>, &mut Sheet) -> serde_json::Result<T>,
    ) -> Result<T, JsonFault> {
        self.sheet.clear();
        let cap = self.caps.json.min(self.left);
        let mut lenient = Lenient::new(self.contents.json(file).map_err(JsonFault::File)?, cap);
        let mut json = serde_json::Deserializer::from_reader(&mut lenient);
        let read = parse(&mut json, &mut self.sheet).and_then(|form| json.end().map(|()| form));
        self.left -= lenient.taken();
        read.map_err(|error| match (self.sheet.over(), lenient.refusal()) {
            (Some(over), _) => JsonFault::Over(over),
            (_, Some(Refusal::TooLong)) => JsonFault::TooLong { cap },
            (_, Some(Refusal::Utf16)) => JsonFault::Utf16,
            _ => {
                let (line, column) = lenient.place();
                // The parser counts lines of its input; these are the file's own.
                let says = error.to_string();
                let says = says.split_once(" at line ").map_or(says.as_str(), |(says, _)| says).to_owned();
                JsonFault::Syntax { says, line, column }
            }
        })
    }
}

/// What is read of `meta.json` besides groups.
#[derive(Default)]
struct Meta {
    file_version: i64,
    name: Box<str>,
}

/// Reads `meta.json` into the book, each group as soon as it is complete. `null` is an empty file.
struct MetaSeed<'a, 'b> {
    sheet: &'a mut Sheet,
    book: &'a mut Book<'b>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "PascalCase")]
enum MetaKey {
    FileVersion,
    Name,
    DefaultData,
    Groups,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for MetaSeed<'_, '_> {
    type Value = Meta;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Meta, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MetaSeed<'_, '_> {
    type Value = Meta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the description of a mod")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Meta, A::Error> {
        let Self { sheet, book } = self;
        let mut meta = Meta::default();
        while let Some(key) = map.next_key()? {
            match key {
                MetaKey::FileVersion => meta.file_version = map.next_value::<Scalar>()?.number(),
                MetaKey::Name => meta.name = map.next_value::<Scalar>()?.text(),
                MetaKey::DefaultData => {
                    if let Some(form) = map.next_value_seed(One::<Container>(sheet, PhantomData))? {
                        book.take_default(sheet, form).map_err(A::Error::custom)?;
                    }
                    sheet.clear();
                }
                MetaKey::Groups => map.next_value_seed(Each(sheet, &mut |sheet: &mut Sheet, form| {
                    let taken = book.take_group(sheet, form);
                    sheet.clear();
                    taken
                }))?,
                MetaKey::Other => skip(&mut map)?,
            }
        }
        Ok(meta)
    }
}

/// The mod under construction.
struct Book<'a> {
    choices: &'a [Choice],
    sheet: Sheet,
    default: Container,
    groups: Vec<Group>,
    names: HashSet<Box<str>>,
    /// Groups so far, including those without effect.
    seen: usize,
    left_out: LeftOuts,
}

impl<'a> Book<'a> {
    fn new(choices: &'a [Choice], caps: Caps) -> Self {
        Self {
            choices,
            sheet: Sheet::new(caps),
            default: Container::default(),
            groups: Vec::new(),
            names: HashSet::new(),
            seen: 0,
            left_out: LeftOuts::default(),
        }
    }

    fn take_default(&mut self, from: &Sheet, mut form: Container) -> Result<(), Over> {
        self.keep(from, &mut form)?;
        self.default = form;
        Ok(())
    }

    fn take_group(&mut self, from: &Sheet, form: GroupForm) -> Result<(), Over> {
        self.seen += 1;
        self.sheet.count_groups(self.seen)?;
        let name = form.name.clone();
        self.sheet.count_name(&name)?;
        if name.is_empty() {
            self.leave_out(&name, GroupFault::Nameless);
            return Ok(());
        }
        if !self.names.insert(name.clone()) {
            self.leave_out(&name, GroupFault::SameName);
            return Ok(());
        }
        match Group::new(from, form) {
            Ok((mut group, fault)) => {
                let on = may_be_on(&group, self.choices);
                for (option, on) in group.options.iter_mut().zip(on) {
                    self.take(from, option, on)?;
                }
                if let Kind::Combining { containers } = &mut group.kind {
                    for container in containers {
                        self.take(from, container, true)?;
                    }
                }
                self.sheet.count_conditions(group.condition.count())?;
                self.groups.push(group);
                if let Some(fault) = fault {
                    self.leave_out(&name, fault);
                }
            }
            Err(fault) => self.leave_out(&name, fault),
        }
        Ok(())
    }

    /// An option or a container of a group: its changes are kept where it may be on.
    fn take(&mut self, from: &Sheet, form: &mut Container, on: bool) -> Result<(), Over> {
        self.sheet.count_options(1)?;
        self.sheet.count_conditions(form.condition.count())?;
        self.sheet.count_name(&form.name)?;
        self.sheet.count_name(&form.id)?;
        if on {
            return self.keep(from, form);
        }
        (form.files, form.file_swaps, form.manipulations) = Default::default();
        Ok(())
    }

    fn keep(&mut self, from: &Sheet, form: &mut Container) -> Result<(), Over> {
        form.files = self.sheet.keep_pairs(from, form.files)?;
        form.file_swaps = self.sheet.keep_pairs(from, form.file_swaps)?;
        form.manipulations = self.sheet.keep_manipulations(from, form.manipulations)?;
        Ok(())
    }

    fn leave_out(&mut self, name: &str, fault: GroupFault) {
        self.left_out.add("", name, LeftOutReason::Group(fault));
    }
}

impl Group {
    /// Returns the fault of parts without effect, if there is one.
    fn new(from: &Sheet, form: GroupForm) -> Result<(Self, Option<GroupFault>), GroupFault> {
        let mut options = form.options;
        let mut fault = None;
        // The numbers are Penumbra's own; some tools write them.
        let kind = match form.kind.trim().to_ascii_lowercase().as_str() {
            "" | "single" | "0" => Kind::Single,
            "multi" | "1" => Kind::Multi,
            "imc" | "2" => {
                let object = |text| match from.get(text) {
                    json if json.len() <= IMC_BYTES_MAX => serde_json::from_str(json).ok(),
                    _ => None,
                };
                let (Some(identifier), Some(entry)) = (object(form.identifier), object(form.default_entry))
                else {
                    return Err(GroupFault::NoImcEntry);
                };
                let entry: Map<String, Value> = entry;
                if entry.get("MaterialId").and_then(as_number).unwrap_or_default() == 0 {
                    return Err(GroupFault::NoImcEntry);
                }
                if form.all_variants || form.only_attributes {
                    fault = Some(GroupFault::Variants);
                }
                drop_unusable_imc_options(&mut options);
                Kind::Imc { identifier, entry }
            }
            "combining" | "3" => {
                options.truncate(COMBINING_OPTIONS_MAX);
                let mut containers = form.containers;
                containers.truncate(1 << COMBINING_OPTIONS_MAX);
                Kind::Combining { containers }
            }
            _ => return Err(GroupFault::UnknownType(cut(&form.kind))),
        };
        let group = Self {
            name: form.name,
            priority: form.priority,
            defaults: form.default_settings.cast_unsigned(),
            options,
            condition: form.condition,
            kind,
        };
        Ok((group, fault))
    }
}

/// As Penumbra does on loading: the settings' bits count the remaining options.
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
