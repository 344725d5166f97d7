//! The rules for a source file, as a function of the drawings, its path and its text.

use std::collections::BTreeMap;

use super::source::{paths, words};

pub(crate) const LINES_MAX: usize = 500;

/// The highest module below the line: there and further down nothing does I/O.
const LINE: &str = "wire";

/// Folders above the line that are as pure as what is below it.
const PURE: [&[&str]; 2] = [
    &["apps", "master_svr", "decisions"],
    &["apps", "redis_sharder", "layout"],
];

/// Names that are forbidden below the line. The last part is the beginning of a name.
const OUTSIDE: [&[&str]; 8] = [
    &["tokio"],
    &["tracing"],
    &["std", "fs"],
    &["std", "net", "Tcp"],
    &["std", "net", "Udp"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "thread"],
];

/// Modules of which only single names may be imported below the line, since the rest is outside.
const HALF_OUTSIDE: [&[&str]; 2] = [&["std", "time"], &["std", "net"]];

/// Names of modules in which unrelated things collect.
const STRANGERS: [&str; 7] = ["util", "common", "helper", "misc", "manager", "types", "core"];

/// The drawings of floors, by their folder: `src/lib.rs`, and each `mod.rs` that has one.
pub(crate) struct Drawings(BTreeMap<String, Floors>);

/// Top first: the paragraphs of `mod` lines under a line that says what the floor is.
type Floors = Vec<Vec<String>>;

impl Drawings {
    pub(crate) fn read(sources: &[(String, String)]) -> Self {
        let drawn = sources.iter().filter_map(|(path, text)| {
            let is_root = path == "src/lib.rs";
            let folder = module_of(path).join("/");
            let may_draw = is_root || path.ends_with("/mod.rs");
            let floors = floors_of(text);
            (may_draw && (is_root || !floors.is_empty())).then_some((folder, floors))
        });
        Self(drawn.collect())
    }

    pub(crate) fn of(&self, folder: &str) -> Option<&Floors> {
        self.0.get(folder)
    }

    pub(crate) fn is_below_line(&self, module: &str) -> bool {
        // A module without a floor is above every line.
        let floors = &self.0[""];
        floor(floors, module) >= floor(floors, LINE)
    }

    /// Why `module` may not use the path that it names, if both are in one folder with a drawing.
    fn objection(&self, module: &[&str], named: &[&str]) -> Option<String> {
        let shared = module
            .iter()
            .zip(named)
            .take_while(|(own, other)| own == other)
            .count();
        let (folder, other) = (&module[..shared], *named.get(shared)?);
        let floors = self.of(&folder.join("/"))?;
        let own = module.get(shared).copied();
        let places = (own.map(|own| floor(floors, own)), floor(floors, other));
        let why = match places {
            // A `mod.rs` names modules of its own folder; an item of its own has no floor.
            (None, _) if !folder.is_empty() => return None,
            (_, None) if !folder.is_empty() => return None,
            (_, None) => "which is not in the drawing",
            (None | Some(None), _) => "from a place that is not in the drawing",
            // Only tests can name the code that tests share.
            _ if other == "tests" => return None,
            (Some(Some(own)), Some(others)) if others > own => return None,
            (Some(Some(own)), Some(others)) if others == own => "a neighbour on its floor",
            _ => "on a higher floor",
        };
        let path: Vec<&str> = ["crate"]
            .into_iter()
            .chain(folder.iter().copied())
            .chain([other])
            .collect();
        Some(format!("names {}, {why}", path.join("::")))
    }
}

fn floors_of(text: &str) -> Floors {
    let modules = |paragraph: &str| -> Vec<String> {
        let names = paragraph.lines().filter_map(|line| {
            let name = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let name = name
                .trim_start_matches("pub(super) ")
                .strip_prefix("mod ")?
                .strip_suffix(';')?;
            Some(name.to_owned())
        });
        names.collect()
    };
    let drawn = text
        .split("\n\n")
        .filter(|paragraph| paragraph.trim_start().starts_with("// "));
    let floors = drawn.map(modules);
    floors.filter(|floor| !floor.is_empty()).collect()
}

/// The floor of a module, counted from the top.
fn floor(floors: &Floors, module: &str) -> Option<usize> {
    let on_floor = |floor: &Vec<String>| floor.iter().any(|name| name == module);
    floors.iter().position(on_floor)
}

/// Everything that is wrong with one file. `path` begins with `src/`.
pub(crate) fn faults(drawings: &Drawings, path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let words = words(text);
    let named = paths(&module, &words);
    let mut faults = text_faults(path, text);
    faults.extend(name_faults(&module, &words));
    faults.extend(derive_faults(&module, &words));
    for named in &named {
        // A program is a crate of its own above all floors.
        if module.first() != Some(&"bin") {
            faults.extend(floor_fault(drawings, &module, named));
        }
        faults.extend(outside_fault(drawings, &module, named));
    }
    faults.iter().map(|fault| format!("{path}: {fault}")).collect()
}

/// `src/protocol/placement/view.rs` is `["protocol", "placement", "view"]`, `src/lib.rs` is `[]`.
pub(crate) fn module_of(path: &str) -> Vec<&str> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let parts = inside.split('/');
    parts.filter(|part| !["lib", "mod"].contains(part)).collect()
}

fn text_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push("does not open with a `//!` that says what it decides".to_owned());
    }
    if path != "src/lib.rs" && text.lines().count() > LINES_MAX {
        faults.push(format!("has more than {LINES_MAX} lines"));
    }
    let marks = ["TODO", "FIXME"].into_iter().filter(|mark| text.contains(mark));
    faults.extend(marks.map(|mark| format!("says {mark}; do it or leave it")));
    faults
}

fn name_faults(module: &[&str], words: &[&str]) -> Vec<String> {
    let declared = words.windows(2).filter(|pair| pair[0] == "mod");
    let names = declared.map(|pair| pair[1]).chain(module.iter().copied());
    let strangers = names.filter(|name| STRANGERS.contains(name));
    strangers
        .map(|name| format!("a module is called {name}, where strangers collect"))
        .collect()
}

/// Derives of serde belong to `wire`, so that changing the core cannot change the protocol, to `cli` for
/// its output, and to the messages of the annexes.
fn derive_faults(module: &[&str], words: &[&str]) -> Vec<String> {
    if matches!(module, ["wire" | "cli", ..] | ["apps", _, "messages" | "bodies"]) {
        return Vec::new();
    }
    let derives = words.windows(2).enumerate();
    let derives = derives.filter(|(_, pair)| *pair == ["derive", "("]);
    let derived = derives.flat_map(|(at, _)| words[at..].iter().take_while(|word| **word != ")"));
    let serde = derived.filter(|word| ["Serialize", "Deserialize"].contains(word));
    serde
        .map(|word| format!("derives {word} outside wire, cli and the messages of apps"))
        .collect()
}

fn floor_fault(drawings: &Drawings, module: &[&str], named: &[&str]) -> Option<String> {
    let ["crate", named @ ..] = named else { return None };
    drawings.objection(module, named)
}

fn outside_fault(drawings: &Drawings, module: &[&str], named: &[&str]) -> Option<String> {
    let own = module.first()?;
    if ["hyper", "hyper_util"].contains(&named[0]) && !["net", "server"].contains(own) {
        return Some(format!("names {} outside net and server", named.join("::")));
    }
    let is_pure = drawings.is_below_line(own) || PURE.iter().any(|folder| module.starts_with(folder));
    let is_outside = is_pure && (is_outside(named) || is_half_outside(named));
    is_outside.then(|| format!("names {} below the line", named.join("::")))
}

fn is_outside(named: &[&str]) -> bool {
    OUTSIDE.iter().any(|outside| {
        let pairs = || named.iter().zip(outside.iter());
        let last = outside.len() - 1;
        // The last part also stands for names that continue: tokio_util, TcpStream.
        let continues = pairs()
            .nth(last)
            .is_some_and(|(name, part)| begins_with(name, part));
        continues && pairs().take(last).all(|(name, part)| name == part)
    })
}

/// `tokio` begins `tokio_util` and `Tcp` begins `TcpStream`, but `fs` does not begin `fsync`.
fn begins_with(name: &str, part: &str) -> bool {
    let rest = name.strip_prefix(part);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// True if this is the whole of a module of which only parts are allowed.
fn is_half_outside(named: &[&str]) -> bool {
    let whole = match named {
        [module @ .., "self" | "*"] => module,
        _ => named,
    };
    HALF_OUTSIDE.contains(&whole)
}
