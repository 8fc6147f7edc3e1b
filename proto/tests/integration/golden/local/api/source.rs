//! Reads the types of the local API from proto's source: names, types, optional parts, and comments.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use syn::{Attribute, Fields, Item, LitStr, Type, UseTree, Visibility};

/// The kind of a value.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Integer(u64),
    Number,
    Flag,
    Text,
    List(Box<Kind>),
    /// An object with any keys, and values of one kind.
    Map(Box<Kind>),
    /// Another type, by its name in the source.
    Named(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub name: String,
    pub about: String,
    pub kind: Kind,
    /// In a client's message: required. In the daemon's: always present.
    pub required: bool,
    /// It may be `null`.
    pub nullable: bool,
    /// `null` differs from absent.
    pub null_says: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Object(Vec<Field>),
    /// One of these words, each with its meaning.
    Word(Vec<(String, String)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub about: String,
    pub body: Body,
}

pub(crate) struct Event {
    pub name: String,
    pub about: String,
    /// Its fields, or the type of its data.
    pub data: Data,
}

pub(crate) enum Data {
    Fields(Vec<Field>),
    Shape(String),
}

/// All types in proto's source that serde reads or writes.
pub(crate) struct Source {
    /// By file and name: two files may use one name.
    items: BTreeMap<(PathBuf, String), Item>,
    /// Other names of items: the module, and the name there.
    renamed: BTreeMap<String, (String, String)>,
}

impl Source {
    pub(crate) fn read() -> Self {
        let (mut items, mut renamed) = (BTreeMap::new(), BTreeMap::new());
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("the source is here") {
                let path = entry.expect("readable").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ext| ext == "rs") {
                    let text = fs::read_to_string(&path).expect("text");
                    for item in syn::parse_file(&text).expect("Rust").items {
                        if let Item::Use(uses) = &item {
                            rename("", &uses.tree, &mut renamed);
                        }
                        if let Some(name) = carried(&item) {
                            items.insert((path.clone(), name), item);
                        }
                    }
                }
            }
        }
        Self { items, renamed }
    }

    /// The item of that name: of the module, or of those that it imports.
    fn find(&self, module: &str, name: &str) -> &Item {
        let of_name = || self.items.iter().filter(|((_, item), _)| item == name);
        let in_module = |module: &str| {
            of_name().find(|((path, _), _)| {
                path.file_stem().is_some_and(|stem| stem == module)
                    || path.iter().any(|folder| folder == module)
            })
        };
        let found = [module, "reply", "request", "local"].into_iter().find_map(in_module);
        match (found.or_else(|| of_name().next()), self.renamed.get(name)) {
            (Some((_, item)), _) => item,
            (None, Some((module, name))) => self.find(module, name),
            (None, None) => panic!("no {module}::{name}"),
        }
    }

    /// A type by its name, as a module of `local` sees it.
    pub(crate) fn shape(&self, module: &str, name: &str) -> Shape {
        let sent = module == "request";
        let (attributes, body) = match self.find(module, name) {
            Item::Struct(item) => {
                (&item.attrs, Body::Object(self.fields(&item.attrs, &item.fields, module, sent)))
            }
            Item::Enum(item) => {
                let all = serde(&item.attrs);
                let words = item.variants.iter().filter(|word| !serde(&word.attrs).contains_key("other"));
                let words = words.map(|word| {
                    let renamed = serde(&word.attrs).remove("rename").flatten();
                    let name = renamed.unwrap_or_else(|| cased(&word.ident.to_string(), &all));
                    (name, docs(&word.attrs))
                });
                (&item.attrs, Body::Word(words.collect()))
            }
            _ => panic!("{name} is no shape"),
        };
        Shape { about: docs(attributes), body }
    }

    pub(crate) fn about(&self, name: &str) -> String {
        match self.find("id", name) {
            Item::Struct(item) => docs(&item.attrs),
            _ => panic!("{name} is no struct"),
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let Item::Enum(events) = self.find("event", "Event") else { panic!("Event is an enum") };
        let event = |variant: &syn::Variant| {
            let data = match &variant.fields {
                Fields::Unnamed(one) => match kind(&one.unnamed.first().expect("one").ty).0 {
                    Kind::Named(name) => Data::Shape(name),
                    other => panic!("{other:?} is no shape"),
                },
                fields => Data::Fields(self.fields(&events.attrs, fields, "event", false)),
            };
            let name = serde(&variant.attrs).remove("rename").flatten().expect("each is named");
            Event { name, about: docs(&variant.attrs), data }
        };
        events.variants.iter().map(event).collect()
    }

    fn fields(&self, of: &[Attribute], fields: &Fields, module: &str, sent: bool) -> Vec<Field> {
        let all = serde(of);
        let mut list = Vec::new();
        for field in fields {
            let own = serde(&field.attrs);
            let (kind, options) = kind(&field.ty);
            let optional = options > 0;
            if own.contains_key("flatten") {
                let Kind::Named(name) = &kind else { panic!("only a shape can be flattened") };
                let module = qualifier(&field.ty).unwrap_or_else(|| module.to_owned());
                let Body::Object(inner) = self.shape(&module, name).body else { panic!("it has fields") };
                list.extend(inner);
                continue;
            }
            let omitted = own.contains_key("skip_serializing_if");
            let default = own.contains_key("default") || all.contains_key("default");
            let name = field.ident.as_ref().expect("a name").to_string();
            list.push(Field {
                name: cased(&name, &all),
                about: docs(&field.attrs),
                kind,
                required: if sent { !(optional || default) } else { !omitted },
                nullable: if sent { optional || default } else { optional && !omitted },
                null_says: options > 1,
            });
        }
        list
    }
}

/// The name of a public item with serde's derives.
fn carried(item: &Item) -> Option<String> {
    let (visible, attributes, name) = match item {
        Item::Struct(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Enum(item) => (&item.vis, &item.attrs, &item.ident),
        _ => return None,
    };
    let is_derived = attributes.iter().any(|attribute| attribute.path().is_ident("derive"));
    (matches!(visible, Visibility::Public(_)) && is_derived).then(|| name.to_string())
}

/// The module in front of a type.
fn qualifier(of: &Type) -> Option<String> {
    let Type::Path(path) = of else { return None };
    path.path.segments.iter().rev().nth(1).map(|module| module.ident.to_string())
}

/// Collects an item's other names.
fn rename(module: &str, tree: &UseTree, renamed: &mut BTreeMap<String, (String, String)>) {
    match tree {
        UseTree::Path(path) => rename(&path.ident.to_string(), &path.tree, renamed),
        UseTree::Group(group) => group.items.iter().for_each(|tree| rename(module, tree, renamed)),
        UseTree::Rename(one) if one.rename != "_" => {
            renamed.insert(one.rename.to_string(), (module.to_owned(), one.ident.to_string()));
        }
        UseTree::Rename(_) | UseTree::Name(_) | UseTree::Glob(_) => {}
    }
}

/// The kind of a type, and the number of options around it.
fn kind(of: &Type) -> (Kind, usize) {
    let Type::Path(path) = of else { panic!("a type with a name") };
    let last = path.path.segments.last().expect("a name");
    let inner: Vec<&Type> = match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => {
            let types = arguments.args.iter();
            types
                .filter_map(|one| if let syn::GenericArgument::Type(of) = one { Some(of) } else { None })
                .collect()
        }
        _ => Vec::new(),
    };
    let one = match (last.ident.to_string().as_str(), inner.as_slice()) {
        ("Option", [of]) => {
            let (kind, options) = kind(of);
            return (kind, options + 1);
        }
        ("Box", [of]) => return kind(of),
        ("Vec", [of]) => Kind::List(Box::new(kind(of).0)),
        ("BTreeMap", [_, of]) => Kind::Map(Box::new(kind(of).0)),
        ("String", []) => Kind::Text,
        ("bool", []) => Kind::Flag,
        ("f64", []) => Kind::Number,
        ("u16", []) => Kind::Integer(u16::MAX.into()),
        ("u32", []) => Kind::Integer(u32::MAX.into()),
        ("u64" | "usize", []) => Kind::Integer(u64::MAX),
        (name, []) => Kind::Named(name.to_owned()),
        (name, _) => panic!("no kind for {name}"),
    };
    (one, 0)
}

/// serde's attributes: each with its text, if it has one.
fn serde(attributes: &[Attribute]) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let read = attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let text = if meta.input.peek(syn::Token![=]) {
                Some(meta.value()?.parse::<LitStr>()?.value())
            } else {
                None
            };
            all.insert(name, text);
            Ok(())
        });
        read.expect("settings of serde");
    }
    all
}

/// serde's form of a name.
fn cased(name: &str, all: &BTreeMap<String, Option<String>>) -> String {
    let rule = ["rename_all", "rename_all_fields"].iter().find_map(|rule| all.get(*rule).cloned().flatten());
    let words = |name: &str| {
        let mut words = String::new();
        for (at, letter) in name.char_indices() {
            if letter.is_uppercase() && at > 0 {
                words.push('_');
            }
            words.extend(letter.to_lowercase());
        }
        words
    };
    match rule.as_deref() {
        None => name.to_owned(),
        Some("snake_case") => words(name),
        Some("camelCase") => {
            let mut upper = false;
            let mut cased = String::new();
            for letter in words(name).chars() {
                match (letter, std::mem::take(&mut upper)) {
                    ('_', _) => upper = true,
                    (letter, true) => cased.extend(letter.to_uppercase()),
                    (letter, false) => cased.push(letter),
                }
            }
            cased
        }
        Some(other) => panic!("no rule {other}"),
    }
}

/// A comment as one paragraph.
fn docs(attributes: &[Attribute]) -> String {
    let lines =
        attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| {
            match &attribute.meta {
                syn::Meta::NameValue(doc) => match &doc.value {
                    syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            }
        });
    plain(&lines.collect::<Vec<_>>().join("\n"))
}

/// Without Rust's links and line breaks.
pub(crate) fn plain(text: &str) -> String {
    let words = text.split_whitespace().map(|word| word.replace("[`", "`").replace("`]", "`"));
    words.collect::<Vec<_>>().join(" ").replace("crate::limit::", "").replace("super::", "")
}
