//! Reads Rust text for the floors test: its words, and the paths that it names.
//!
//! Much less than a parser: it drops comments and literals, takes groups of imports apart, and resolves
//! `self` and `super`, so that every way to write a path gives the same result.

/// The words that may precede a path that begins with `::`.
const KEYWORDS: [&str; 8] = ["use", "as", "in", "for", "impl", "dyn", "mut", "return"];

/// The identifiers and signs of a text; comments, literals and lifetimes are left out.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let silent = silent_len(rest);
        let len = silent.unwrap_or_else(|| word_len(rest));
        let (word, behind) = rest.split_at(len);
        if silent.is_none() {
            words.push(word);
        }
        rest = behind;
    }
    words
}

fn word_len(text: &str) -> usize {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_';
    match text.find(|c| !is_inside(c)).unwrap_or(text.len()) {
        0 if text.starts_with("::") => 2,
        0 => text.chars().next().map_or(0, char::len_utf8),
        len => len,
    }
}

/// The length of the space, comment, literal or lifetime at the beginning of a text.
fn silent_len(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if first.is_whitespace() {
        return Some(first.len_utf8());
    }
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_len(text));
    }
    if first == '\'' {
        return Some(quote_len(text));
    }
    string_len(text)
}

fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let (step, change) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        (depth, at) = (depth + change, at + step);
        if depth == 0 {
            break;
        }
    }
    at
}

/// A character literal, or the quote and name of a lifetime.
fn quote_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        // The escaped character may be a quote itself, so the closing one is searched behind it.
        Some((_, '\\')) => text[3..].find('\'').map_or(text.len(), |at| 3 + at + 1),
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1 + word_len(&text[1..]),
    }
}

fn string_len(text: &str) -> Option<usize> {
    let bare = text.trim_start_matches(['b', 'c']);
    if let Some(raw) = bare.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let len = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(text.len() - body.len() + len);
    }
    let body = bare.strip_prefix('"')?;
    let mut escaped = false;
    let close = body.find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    Some(text.len() - body.len() + close.map_or(body.len(), |at| at + 1))
}

/// Every path that a file names, with groups taken apart and `self` and `super` resolved to `crate`.
/// `module` is the module of the file: `["placement", "view"]`.
pub(crate) fn paths<'a>(module: &[&'a str], words: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    // The open inline modules, each with the depth of braces around it.
    let mut inline: Vec<(&str, usize)> = Vec::new();
    let (mut at, mut depth) = (0, 0);
    while at < words.len() {
        match words[at..] {
            ["mod", name, "{", ..] => {
                inline.push((name, depth));
                depth += 1;
                at += 3;
            }
            ["{", ..] => (depth, at) = (depth + 1, at + 1),
            ["}", ..] => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(_, around)| *around == depth);
                at += 1;
            }
            _ if begins_path(words, at) => {
                let here: Vec<&str> = module.iter().copied().chain(inline.iter().map(|m| m.0)).collect();
                let mut written = Vec::new();
                at = expand(words, at, &[], &mut written);
                found.extend(written.into_iter().map(|path| resolve(&here, path)));
            }
            _ => at += 1,
        }
    }
    found
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn begins_path(words: &[&str], at: usize) -> bool {
    let behind_path = match words[..at] {
        // `use ::std::fs` begins behind its `::`.
        [.., before, "::"] => before == ">" || (is_name(before) && !KEYWORDS.contains(&before)),
        _ => false,
    };
    is_name(words[at]) && !KEYWORDS.contains(&words[at]) && !behind_path
}

/// Reads one path, or a tree of imports, and returns where it ends.
fn expand<'a>(words: &[&'a str], mut at: usize, prefix: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(word) = words.get(at) {
        if *word == "{" {
            return expand_group(words, at + 1, &path, found);
        }
        if !is_name(word) && *word != "*" {
            break;
        }
        path.push(word);
        at += 1;
        if words.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at
}

fn expand_group<'a>(
    words: &[&'a str],
    mut at: usize,
    prefix: &[&'a str],
    found: &mut Vec<Vec<&'a str>>,
) -> usize {
    while at < words.len() && words[at] != "}" {
        at = expand(words, at, prefix, found);
        // `as other` may follow a name.
        while at < words.len() && ![",", "}"].contains(&words[at]) {
            at += 1;
        }
        at += usize::from(words.get(at) == Some(&","));
    }
    at + 1
}

fn resolve<'a>(here: &[&'a str], path: Vec<&'a str>) -> Vec<&'a str> {
    let ups = path.iter().skip_while(|word| **word == "self");
    let ups = ups.take_while(|word| **word == "super").count();
    let selfs = path.iter().take_while(|word| **word == "self").count();
    if ups + selfs == 0 {
        return path;
    }
    let mut resolved = vec!["crate"];
    resolved.extend(&here[..here.len().saturating_sub(ups)]);
    resolved.extend(&path[ups + selfs..]);
    resolved
}
