//! What is asked of each source file, as a function of the drawing, its path and its text.

use crate::source::{paths, words};

pub(crate) const LINES_MAX: usize = 500;

/// The highest module below the line: there and further down nothing does I/O.
const LINE: &str = "wire";

/// What below the line nobody may name. The last part is the beginning of a name.
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

/// Modules of which below the line only single names may be imported, since the rest is outside.
const HALF_OUTSIDE: [&[&str]; 2] = [&["std", "time"], &["std", "net"]];

/// Names in which strangers collect.
const STRANGERS: [&str; 7] = ["util", "common", "helper", "misc", "manager", "types", "core"];

/// The floors, top first: the paragraphs of `pub mod` lines of `src/lib.rs`.
pub(crate) struct Drawing(pub(crate) Vec<Vec<String>>);

impl Drawing {
    pub(crate) fn read(lib: &str) -> Self {
        let modules = |paragraph: &str| -> Vec<String> {
            let names = paragraph.lines().filter_map(|line| {
                let name = line.strip_prefix("pub mod ")?.strip_suffix(';')?;
                Some(name.to_owned())
            });
            names.collect()
        };
        let floors = lib.split("\n\n").map(modules);
        Self(floors.filter(|floor| !floor.is_empty()).collect())
    }

    /// The floor of a module, counted from the top.
    fn floor(&self, module: &str) -> Option<usize> {
        let on_floor = |floor: &Vec<String>| floor.iter().any(|name| name == module);
        self.0.iter().position(on_floor)
    }

    pub(crate) fn is_below_line(&self, module: &str) -> bool {
        // A module without a floor is above every line.
        self.floor(module) >= self.floor(LINE)
    }

    /// Why `module` may not use `other`.
    fn objection(&self, module: &str, other: &str) -> Option<&'static str> {
        match (self.floor(module), self.floor(other)) {
            _ if module == other => None,
            (_, None) => Some("which is not in the drawing"),
            (None, _) => Some("from a place that is not in the drawing"),
            (Some(own), Some(others)) if others > own => None,
            (Some(own), Some(others)) if others == own => Some("a neighbour on its floor"),
            _ => Some("on a higher floor"),
        }
    }
}

/// Everything that is wrong with one file. `path` begins with `src/`.
pub(crate) fn faults(drawing: &Drawing, path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let words = words(text);
    let named = paths(&module, &words);
    let mut faults = text_faults(path, text);
    faults.extend(name_faults(&module, &words));
    faults.extend(derive_faults(&module, &words));
    for named in &named {
        // A program is a crate of its own above all floors.
        if module.first() != Some(&"bin") {
            faults.extend(floor_fault(drawing, &module, named));
        }
        faults.extend(outside_fault(drawing, &module, named));
    }
    faults.iter().map(|fault| format!("{path}: {fault}")).collect()
}

/// `src/placement/view.rs` is `["placement", "view"]`, `src/lib.rs` is `[]`.
fn module_of(path: &str) -> Vec<&str> {
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

/// Derives of serde belong to `wire`, so that changing the core cannot change the protocol, and to `cli`
/// for its output.
fn derive_faults(module: &[&str], words: &[&str]) -> Vec<String> {
    if module
        .first()
        .is_some_and(|first| ["wire", "cli"].contains(first))
    {
        return Vec::new();
    }
    let derives = words.windows(2).enumerate();
    let derives = derives.filter(|(_, pair)| *pair == ["derive", "("]);
    let derived = derives.flat_map(|(at, _)| words[at..].iter().take_while(|word| **word != ")"));
    let serde = derived.filter(|word| ["Serialize", "Deserialize"].contains(word));
    serde
        .map(|word| format!("derives {word} outside wire and cli"))
        .collect()
}

fn floor_fault(drawing: &Drawing, module: &[&str], named: &[&str]) -> Option<String> {
    let ["crate", other, ..] = named else { return None };
    let own = module.first().copied().unwrap_or("lib.rs");
    let objection = drawing.objection(own, other)?;
    Some(format!("names crate::{other}, {objection}"))
}

fn outside_fault(drawing: &Drawing, module: &[&str], named: &[&str]) -> Option<String> {
    let own = module.first()?;
    if ["hyper", "hyper_util"].contains(&named[0]) && !["net", "server"].contains(own) {
        return Some(format!("names {} outside net and server", named.join("::")));
    }
    let is_outside = drawing.is_below_line(own) && (is_outside(named) || is_half_outside(named));
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

/// The whole of a module of which only parts are allowed.
fn is_half_outside(named: &[&str]) -> bool {
    let whole = match named {
        [module @ .., "self" | "*"] => module,
        _ => named,
    };
    HALF_OUTSIDE.contains(&whole)
}
