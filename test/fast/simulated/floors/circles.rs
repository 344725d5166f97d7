//! Finds circles of imports between files, also inside of folders: neither file of a circle can be read
//! before the other.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::module_of;
use super::source::{paths, words};

/// The files that name each other in a circle. A file and the `mod.rs` above it may do so: the folder's
/// own file is where its parts meet. Tests next to the code name what they test and do not count.
pub(crate) fn circles(sources: &[(String, String)]) -> BTreeSet<String> {
    let files: BTreeMap<Vec<&str>, &str> = sources
        .iter()
        .map(|(path, _)| (module_of(path), path.as_str()))
        .collect();
    let mut arrows: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (path, text) in sources {
        let module = module_of(path);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let words = words(code);
        for named in paths(&module, &words) {
            let Some((other, at)) = file_of(&files, &named) else {
                continue;
            };
            let is_above = module.starts_with(other) || other.starts_with(&module);
            if !is_above {
                arrows.insert((path, at));
            }
        }
    }
    loop {
        let from: BTreeSet<&str> = arrows.iter().map(|(from, _)| *from).collect();
        let to: BTreeSet<&str> = arrows.iter().map(|(_, to)| *to).collect();
        let before = arrows.len();
        // A file that names no other, or that no other names, is in no circle.
        arrows.retain(|(a, b)| to.contains(a) && from.contains(b));
        if arrows.len() == before {
            return from.intersection(&to).map(|path| (*path).to_owned()).collect();
        }
    }
}

/// The file that contains the item of a path, and the file's module.
fn file_of<'a>(
    files: &'a BTreeMap<Vec<&'a str>, &'a str>,
    named: &[&'a str],
) -> Option<(&'a [&'a str], &'a str)> {
    let ["crate", named @ ..] = named else { return None };
    (1..=named.len()).rev().find_map(|len| {
        let (module, path) = files.get_key_value(&named[..len])?;
        Some((module.as_slice(), *path))
    })
}
