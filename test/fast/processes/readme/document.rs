//! Reads a document: its fenced blocks, their commands with the output of each, and its links.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

const FENCE: &str = "```";

/// A fenced block, and the line number of its first line in the document.
pub(crate) struct Block {
    pub(crate) line: usize,
    lines: Vec<String>,
}

/// A command, and its output according to the document.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) shown: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every document of the repository.
pub(crate) fn documents() -> Vec<String> {
    let parts = ["", ".github", "src", "test"].map(|part| root().join(part));
    let mut documents: Vec<PathBuf> = Vec::new();
    for (part, is_deep) in parts.iter().zip([false, false, true, true]) {
        let mut folders = vec![part.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("can be listed") {
                let path = entry.expect("can be listed").path();
                if path.is_dir() && is_deep {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    documents.push(path);
                }
            }
        }
    }
    let inside = |path: &PathBuf| {
        path.strip_prefix(root())
            .expect("is inside")
            .display()
            .to_string()
    };
    documents.iter().map(inside).collect()
}

pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, number) in text.lines().zip(1..) {
        match (&mut open, line.starts_with(FENCE)) {
            (None, true) => {
                open = Some(Block {
                    line: number + 1,
                    lines: Vec::new(),
                });
            }
            (Some(_), true) => blocks.extend(open.take()),
            (Some(block), false) => block.lines.push(line.to_owned()),
            (None, false) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}

impl Block {
    pub(crate) fn begins_with(&self, start: &str) -> bool {
        self.lines.first().is_some_and(|line| line.starts_with(start))
    }

    /// The lines that begin with `$ `, each with the lines below it.
    pub(crate) fn commands(&self) -> Result<Vec<Command>, &'static str> {
        let mut commands: Vec<Command> = Vec::new();
        for (line, number) in self.lines.iter().zip(self.line..) {
            if let Some(text) = line.strip_prefix("$ ") {
                commands.push(Command {
                    line: number,
                    text: text.to_owned(),
                    shown: String::new(),
                });
            } else {
                let command = commands
                    .last_mut()
                    .ok_or("the block does not begin with a command")?;
                command.shown += line;
                command.shown.push('\n');
            }
        }
        match commands.is_empty() {
            true => Err("the block is empty"),
            false => Ok(commands),
        }
    }
}

/// The text without its fenced blocks.
fn prose(text: &str) -> String {
    let mut is_inside = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with(FENCE);
        is_inside ^= is_fence;
        !is_inside && !is_fence
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The anchors of a text's headings, as links use them.
fn anchors(text: &str) -> Vec<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let names = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    names
        .map(|name| {
            let kept = name.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// Links of a document into the repository that lead to no file or to no heading.
pub(crate) fn dead_links(path: &str, text: &str) -> Vec<String> {
    let prose = prose(text);
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let is_inside = |link: &&str| !link.contains("://") && !link.starts_with("mailto:");
    let is_dead = |link: &&str| {
        let link = percent_decode_str(link).decode_utf8_lossy();
        let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let folder = root().join(path);
        let target = match file {
            "" => folder,
            file => folder.parent().expect("is in a folder").join(file),
        };
        if anchor.is_empty() {
            return !target.exists();
        }
        let headings = match file {
            "" => Ok(text.to_owned()),
            _ => std::fs::read_to_string(target),
        };
        !headings.is_ok_and(|text| anchors(&text).iter().any(|name| name == anchor))
    };
    let dead = links.map(|(link, _)| link).filter(is_inside).filter(is_dead);
    dead.map(|link| format!("{path} links to {link}, which is not there"))
        .collect()
}
