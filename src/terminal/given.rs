//! Reads flags and variables, for all programs, by the one rule of [`text::setting`]: what shells, env
//! files and editors leave around a value does no harm, and an empty value counts as not given.
//!
//! The parser of arguments would take `CAUSEWAY_NODE=` for a node without a name, and `--listen ""` for an
//! address. So every option that has a variable comes through here first: its variable, as its default value,
//! and its flag. Other arguments (keys, values) are left as they are.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::{Arg, Command};

use crate::text;

/// The settings whose variable is no text, each with what to do: the parser's own error would name
/// arguments that were not given.
pub fn not_text(command: &Command, variable: &dyn Fn(&str) -> Option<OsString>) -> BTreeSet<String> {
    let of_this = command.get_arguments().filter_map(|argument| {
        let name = argument.get_env()?.to_str()?;
        let is_text = variable(name).is_none_or(|written| written.to_str().is_some());
        // A path may be any bytes.
        let is_path =
            argument.get_value_parser().type_id() == clap::builder::ValueParser::path_buf().type_id();
        (!is_text && !is_path).then(|| format!("{name} is not UTF-8; set it again"))
    });
    let of_others = command.get_subcommands();
    let of_others = of_others.flat_map(|command| not_text(command, variable));
    of_this.chain(of_others).collect()
}

/// The command with the variables as defaults, and the arguments, ready to be parsed.
pub fn prepare(
    command: Command,
    arguments: Vec<OsString>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> (Command, Vec<OsString>) {
    let mut names = BTreeSet::new();
    collect_names(&command, &mut names);
    (with_variables(command, variable), cleaned(arguments, &names))
}

fn with_variables(command: Command, variable: &dyn Fn(&str) -> Option<OsString>) -> Command {
    let command = command.mut_args(|argument| with_variable(argument, variable));
    command.mut_subcommands(|command| with_variables(command, variable))
}

fn with_variable(argument: Arg, variable: &dyn Fn(&str) -> Option<OsString>) -> Arg {
    let Some(name) = argument
        .get_env()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
    else {
        return argument;
    };
    let written = variable(&name).and_then(|written| setting(&written));
    let shown = written.as_ref().map(|text| text.to_string_lossy().into_owned());
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = format!("{help} [env: {name}={}]", shown.unwrap_or_default());
    let argument = argument.env(None::<&'static str>).help(help);
    match written {
        // The parser keeps defaults for as long as the process lives.
        Some(text) => argument.default_value(&*text.leak()).hide_default_value(true),
        None => argument,
    }
}

/// The flags of all settings, as they are written: `--node`, `-k`.
fn collect_names(command: &Command, names: &mut BTreeSet<String>) {
    let settings = command
        .get_arguments()
        .filter(|argument| argument.get_env().is_some());
    for argument in settings {
        names.extend(argument.get_long().map(|long| format!("--{long}")));
        names.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    command
        .get_subcommands()
        .for_each(|command| collect_names(command, names));
}

/// The arguments without the empty settings, and without what surrounds the others.
fn cleaned(arguments: Vec<OsString>, names: &BTreeSet<String>) -> Vec<OsString> {
    let mut cleaned = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            cleaned.push(argument);
            break;
        }
        let (name, value) = match argument.to_str().and_then(|text| text.split_once('=')) {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument.to_string_lossy().into_owned(), None),
        };
        match (names.contains(&name), value) {
            (false, _) => cleaned.push(argument),
            (true, Some(value)) => {
                cleaned.extend(text::setting(&value).map(|value| OsString::from(format!("{name}={value}"))));
            }
            (true, None) => match arguments.next() {
                Some(value) => cleaned.extend(
                    setting(&value)
                        .into_iter()
                        .flat_map(|value| [argument.clone(), value]),
                ),
                None => cleaned.push(argument),
            },
        }
    }
    cleaned.extend(arguments);
    cleaned
}

/// A setting that is no text is a path, and left alone.
fn setting(written: &OsString) -> Option<OsString> {
    match written.to_str() {
        Some(written) => text::setting(written).map(OsString::from),
        None => Some(written.clone()),
    }
}

/// The same rule for quotes, for options that are no text of the configuration.
pub fn unquoted(written: &str) -> Result<&str, String> {
    let written = text::setting(written).unwrap_or_default();
    match text::quoted(written) {
        Some(inside) => Err(text::quotes_refused(written, inside)),
        None => Ok(written),
    }
}
