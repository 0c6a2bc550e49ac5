//! The layers of the source (*floors*): a file imports only from its own floor and from the floors
//! below it. So each floor can be read, tested and replaced without knowing the floors above it.
//!
//! The test checks every path in `src` that begins with `crate`, `super` or `self`, in
//! code and in tests, wherever it stands: in a `use` of many lines, in a nested module,
//! in a macro, inside an expression. A name that `lib.rs` exports belongs to the floor
//! of its module. Paths in `lib.rs`, `src/models` and `src/docs` may lead anywhere.
//!
//! The tokenizer is written by hand. That takes less code
//! than using a parser of Rust, and needs no dependency.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, the lowest first.
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

/// Modules that belong to no floor.
const BESIDE: [&str; 3] = ["lib", "docs", "models"];

/// Every file in `src` and `tests` has fewer lines than this.
const LINES: usize = 500;

// ---- tokens ----

/// A word, `::`, or one other character.
#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the quoted text at the beginning of `rest`, quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of the raw string at the beginning of `rest`,
/// without its `r`. `None` if `rest` begins with no raw string.
fn raw(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inside = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &rest[..hashes]);
    Some(hashes + 1 + inside.find(&end)? + end.len())
}

/// The length of the comment at the beginning of `rest`. Block comments may be nested.
fn comment(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    let mut depth = 0;
    let mut at = 0;
    while let Some(next) = rest[at..].find(['/', '*']) {
        at += next;
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The source without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let after = &rest[word..];
        let (length, is_token) = match (c, &rest[..word]) {
            _ if rest.starts_with("//") || rest.starts_with("/*") => (comment(rest), false),
            ('"', _) => (quoted(rest, '"'), false),
            (_, "r" | "br" | "cr") if raw(after).is_some() => {
                (word + raw(after).unwrap_or(0), false)
            }
            (_, "b" | "c") if after.starts_with('"') => (word + quoted(after, '"'), false),
            (_, "b") if after.starts_with('\'') => (word + quoted(after, '\''), false),
            // A character literal, or a lifetime.
            ('\'', _) => match rest[1..].chars().next() {
                Some('\\') => (quoted(rest, '\''), false),
                Some(c) if rest[1 + c.len_utf8()..].starts_with('\'') => (c.len_utf8() + 2, false),
                _ => {
                    let name = &rest[1..];
                    (1 + name.find(|c| !is_word(c)).unwrap_or(name.len()), false)
                }
            },
            _ if rest.starts_with("::") => (2, true),
            _ if word > 0 => (word, true),
            _ => (c.len_utf8(), !c.is_whitespace()),
        };
        let text = &rest[..length];
        if is_token {
            found.push(Token { text, line });
        }
        line += text.matches('\n').count();
        at += length;
    }
    found
}

// ---- paths ----

/// One path of the source. A group in braces is several paths.
struct Written<'a> {
    parts: Vec<&'a str>,
    /// The name that it introduces: its last part, or what follows `as`.
    name: &'a str,
    line: usize,
}

/// Reads the paths that begin at the token `at`, adds them to `found`, and returns where they end.
fn take<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    before: &[&'a str],
    found: &mut Vec<Written<'a>>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut parts = before.to_vec();
    let line = tokens[at].line;
    loop {
        parts.push(text(at));
        at += 1;
        let next = text(at + 1);
        if text(at) != "::" || !(next == "{" || next == "*" || next.starts_with(is_word)) {
            break;
        }
        at += 1;
        if next == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                at = match text(at) {
                    "," => at + 1,
                    _ => take(tokens, at, &parts, found),
                };
            }
            return at + 1;
        }
    }
    let mut name = parts[parts.len() - 1];
    if text(at) == "as" {
        name = text(at + 1);
        at += 2;
    }
    found.push(Written { parts, name, line });
    at
}

/// All paths of a file that begin with `crate`, `super` or `self`, each with
/// its line and made absolute. `module` is the path of the file's module.
fn paths<'a>(source: &'a str, module: &[&'a str]) -> Vec<(usize, Vec<&'a str>)> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut module = module.to_vec();
    // How many braces are open, and the depth at which each open module began.
    let (mut depth, mut begun) = (0, Vec::new());
    let (mut at, mut found) = (0, Vec::new());
    while at < tokens.len() {
        let before = |n: usize| at.checked_sub(n).map_or("", text);
        match text(at) {
            "{" => {
                depth += 1;
                if before(2) == "mod" {
                    module.push(before(1));
                    begun.push(depth);
                }
            }
            "}" => {
                if begun.pop_if(|begun| *begun == depth).is_some() {
                    module.pop();
                }
                depth -= 1;
            }
            // `pub(crate)`, `&self` and `extern crate` are no paths.
            first @ ("crate" | "super" | "self")
                if !(before(1) == "(" && before(2) == "pub")
                    && before(1) != "extern"
                    && (first != "self" || text(at + 1) == "::") =>
            {
                let mut written = Vec::new();
                at = take(&tokens, at, &[], &mut written);
                let absolute = |written: Written<'a>| {
                    let mut path = module.clone();
                    for part in written.parts {
                        match part {
                            "crate" => path.clear(),
                            "super" => drop(path.pop()),
                            "self" => {}
                            part => path.push(part),
                        }
                    }
                    (written.line, path)
                };
                found.extend(written.into_iter().map(absolute));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The names that the root of the crate exports, each with the module that it comes from.
fn exports(root: &str) -> BTreeMap<String, String> {
    let tokens = tokens(root);
    let mut written = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.text == "use" {
            take(&tokens, at + 1, &[], &mut written);
        }
    }
    let exports = written.into_iter().map(|written| {
        assert_ne!(written.name, "*", "a glob does not say what it exports");
        (written.name.to_owned(), written.parts[0].to_owned())
    });
    exports.collect()
}

// ---- the rule ----

/// The path of the module of a file below `src`.
fn module_of(below: &Path) -> Vec<&str> {
    let parts = below.iter().map(|part| part.to_str().expect("UTF-8"));
    let mut module: Vec<_> = parts.map(|part| part.trim_end_matches(".rs")).collect();
    module.pop_if(|last| *last == "mod");
    module
}

/// The paths of a file that lead to a higher floor, or to no floor.
fn upward(below: &Path, source: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let floor = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    let module = module_of(below);
    let own = floor(module[0]).unwrap_or_else(|| panic!("{} is on no floor", below.display()));
    let leads_up = |path: &[&str]| {
        let first = path.first().copied().unwrap_or_default();
        let to = floor(first).or_else(|| floor(exports.get(first)?));
        to.is_none_or(|to| to > own)
    };
    let paths = paths(source, &module).into_iter();
    paths
        .filter(|(_, path)| leads_up(path))
        .map(|(line, path)| format!("{}:{line}: crate::{}", below.display(), path.join("::")))
        .collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// All Rust files of a folder and of its subfolders,
/// each with its path below the folder and its text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    fn collect(root: &Path, folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).expect("it exists") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                collect(root, &path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(root).expect("it is in there");
                found.push((below.into(), fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found
}

#[test]
fn no_import_goes_up() {
    let files = files(&folder("src"));
    let root = files.iter().find(|(below, _)| below == Path::new("lib.rs"));
    let exports = exports(&root.expect("it is there").1);
    assert!(exports.len() > 20, "{exports:?}");
    let (mut seen, mut wrong) = (0, Vec::new());
    for (below, source) in &files {
        let module = module_of(below);
        if !BESIDE.contains(&module[0]) {
            seen += paths(source, &module).len();
            wrong.extend(upward(below, source, &exports));
        }
    }
    assert!(files.len() > 80 && seen > 600, "{} {seen}", files.len());
    assert!(wrong.is_empty(), "imports that go up: {wrong:#?}");
}

#[test]
fn every_file_stays_short() {
    let mut long = Vec::new();
    for name in ["src", "tests"] {
        for (below, source) in files(&folder(name)) {
            let lines = source.lines().count();
            if lines >= LINES {
                long.push(format!("{name}/{}: {lines} lines", below.display()));
            }
        }
    }
    assert!(long.is_empty(), "too long: {long:#?}");
}

// ---- the rule's own tests ----

/// The lines and paths that lead up in a file of the floor `events`.
fn upward_of_events(below: &str, source: &str) -> Vec<String> {
    let root = "mod events;\npub use manager::{\n    Brama, default,\n};\n\
                pub use values::error::Error as Fault;";
    let found = upward(Path::new(below), source, &exports(root));
    let places = found.iter().map(|found| {
        let (_, place) = found.split_once(':').expect("a file before it");
        place.to_owned()
    });
    places.collect()
}

#[test]
fn a_path_that_leads_up_is_found_wherever_it_stands() {
    let file = "events/bus.rs";
    let found = [
        ("use crate::manager::Brama;", "1: crate::manager::Brama"),
        (
            "use crate::{\n    sys,\n    manager::{\n        driver,\n    },\n};",
            "4: crate::manager::driver",
        ),
        (
            "let x = crate::manager::default();",
            "1: crate::manager::default",
        ),
        (
            "pub use crate::manager::Brama as Bus;",
            "1: crate::manager::Brama",
        ),
        ("pub(crate) use crate::manager;", "1: crate::manager"),
        // Through the root.
        ("use crate::Brama;", "1: crate::Brama"),
        ("use crate::{Fault, Brama as B};", "1: crate::Brama"),
        ("let x = $crate::default();", "1: crate::default"),
        ("use crate::*;", "1: crate::*"),
        ("use crate as all;", "1: crate::"),
        ("use crate::unheard_of;", "1: crate::unheard_of"),
        // From below.
        (
            "use super::super::manager::driver;",
            "1: crate::manager::driver",
        ),
        ("use super::{super::Brama, ring};", "1: crate::Brama"),
        (
            "mod tests {\n    use super::super::super::manager;\n}",
            "2: crate::manager",
        ),
        (
            "mod a { mod b { fn c() {} } use super::super::super::ffi::x; }",
            "1: crate::ffi::x",
        ),
        (
            "mod a {} use self::super::super::ffi::x;",
            "1: crate::ffi::x",
        ),
        // After text that looks like a string or a comment.
        (
            "let c = '\"'; use crate::manager; let d = '\"';",
            "1: crate::manager",
        ),
        ("fn f<'a>() { crate::ffi::f::<'a>() }", "1: crate::ffi::f"),
        ("let s = r#\"\"\"#; crate::ffi::f();", "1: crate::ffi::f"),
        (
            "/* /* */ */ let s = \"\\\"//\"; crate::ffi::f();",
            "1: crate::ffi::f",
        ),
        ("let r#in = b'\\''; crate::ffi::f();", "1: crate::ffi::f"),
    ];
    for (source, wanted) in found {
        assert_eq!(upward_of_events(file, source), [wanted], "{source}");
    }
    let floor = upward_of_events("events.rs", "pub use super::manager as above;");
    assert_eq!(floor, ["1: crate::manager"]);
    let floor = upward_of_events("events/mod.rs", "use super::Brama;");
    assert_eq!(floor, ["1: crate::Brama"]);
}

#[test]
fn a_path_that_leads_down_or_is_none_is_left_alone() {
    for source in [
        "use crate::{sys::clock, values::{key, error}, events::bus};",
        "use crate::Fault; pub use crate::circuit::record::Status;",
        "use super::{ring, dispatch::*}; use self::ring::Ring;",
        "pub(crate) fn f(&self, s: &Self) { self.x; pub(super) y }",
        "mod tests { use super::*; use super::super::subscriber; }",
        "// use crate::manager;\n/* crate::ffi */ /** crate::ffi */",
        "\"crate::manager\"; b\"crate::ffi\"; r##\"crate::ffi \"# \"##; \"\\\" crate::ffi\"",
        "use std::fmt; use manager::x; other::crate_::ffi; a::super_x",
    ] {
        assert_eq!(
            upward_of_events("events/bus.rs", source),
            [""; 0],
            "{source}"
        );
    }
}
