//! The floors of the house: a file imports from its own floor and from those below it only. So
//! each floor can be read, tested and replaced without knowing what stands on it.
//!
//! Every path in `src` that begins with `crate::` is looked at, in code and in tests; those of
//! models and of the documentation may lead anywhere.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up.
const FLOORS: [&str; 9] = [
    "sys",
    "values",
    "reclaim",
    "structures",
    "circuit",
    "events",
    "manager",
    "ffi",
    "integrations",
];

/// What stands beside the floors.
const BESIDE: [&str; 3] = ["lib.rs", "docs", "models"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it exists") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The first part of a path below `src`, without its ending.
fn room(path: &Path) -> &str {
    let first = path.iter().next().and_then(|part| part.to_str());
    let first = first.expect("a name in UTF-8");
    match first {
        "lib.rs" => first,
        _ => first.trim_end_matches(".rs"),
    }
}

/// The names that follow `crate::`, also those inside `crate::{…}`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, prefix) in code.match_indices("crate::") {
        let rest = &code[start + prefix.len()..];
        let name = |text: &str| -> String {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
            text[..end.unwrap_or(text.len())].to_owned()
        };
        match rest.strip_prefix('{') {
            None => found.push(name(rest)),
            Some(group) => {
                let mut depth = 1;
                let mut item = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => item = true,
                        c if item && !c.is_whitespace() => {
                            found.push(name(&group[at..]));
                            item = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    found
}

#[test]
fn no_import_goes_up() {
    let source = source();
    let mut all = Vec::new();
    files(&source, &mut all);
    let floor = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    let mut upward = Vec::new();
    for path in &all {
        let below = path.strip_prefix(&source).expect("it is in there");
        let room = room(below);
        if BESIDE.contains(&room) {
            continue;
        }
        let own = floor(room).unwrap_or_else(|| panic!("{} is on no floor", below.display()));
        for (number, line) in fs::read_to_string(path).expect("UTF-8").lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for name in imports(line) {
                if floor(&name).is_some_and(|other| other > own) {
                    upward.push(format!("{}:{}: {name}", below.display(), number + 1));
                }
            }
        }
    }
    assert!(all.len() > 80, "{} files", all.len());
    assert!(upward.is_empty(), "imports that go up: {upward:#?}");
}

#[test]
fn imports_are_found_in_every_form() {
    assert_eq!(imports("use crate::sys::clock::Clock;"), ["sys"]);
    assert_eq!(
        imports("use crate::{sys, values::{key, error}};"),
        ["sys", "values"]
    );
    assert_eq!(imports("let x = crate::manager::default();"), ["manager"]);
    assert_eq!(imports("$crate::values::settings::stored!(x)"), ["values"]);
    assert!(imports("use std::fmt;").is_empty());
}
