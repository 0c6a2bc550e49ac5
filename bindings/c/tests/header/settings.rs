//! The settings of `src/values/settings/table.rs` wherever they are written out, since no macro
//! can write them there: C's structs, which the header's generator reads as they stand, and the
//! structs of C++. What is missing, or says something else than the table, fails with the line
//! that is asked for.
//!
//! `tests/c/settings_table.h` is the table as C's preprocessor reads it. The tests in C, C++ and
//! Python go over it, so that a new setting is tested without another line.

use std::fmt::Write;
use std::fs;

use super::root;

/// A line of the table.
struct Setting {
    name: String,
    field: String,
    kind: String,
    default: String,
}

/// What a kind is, in C and in C++, and what its comment in C has to say.
struct Kind {
    c: &'static str,
    rust: &'static str,
    cpp: &'static str,
    /// In `brama::Settings`, where no value is optional but a time that may be missing.
    cpp_shown: &'static str,
    says: &'static [&'static str],
}

fn kind(name: &str) -> Kind {
    let (c, rust, cpp, cpp_shown, says): (_, _, _, _, &[&str]) = match name {
        "attempts" => (
            "uint32_t",
            "u32",
            "std::uint32_t",
            "std::uint32_t",
            &["At least 1"],
        ),
        "calls" => (
            "uint32_t",
            "u32",
            "std::uint32_t",
            "std::uint32_t",
            &["1 to 65535"],
        ),
        "time" => (
            "uint64_t",
            "u64",
            "Milliseconds",
            "Milliseconds",
            &["At least "],
        ),
        "optional_time" => (
            "uint64_t",
            "u64",
            "Milliseconds",
            "std::optional<Milliseconds>",
            &["At least 1", "BRAMA_NONE (default)"],
        ),
        "factor" => (
            "double",
            "f64",
            "double",
            "double",
            &["Finite, at least 1.0"],
        ),
        "part" => ("double", "f64", "double", "double", &["0.0 to 1.0"]),
        "strategy" => (
            "brama_expiry_strategy_t",
            "brama_expiry_strategy_t",
            "ExpiryStrategy",
            "ExpiryStrategy",
            &["BRAMA_EXPIRY_FIXED (default)", "BRAMA_EXPIRY_PROGRESSIVE"],
        ),
        other => panic!(
            "the kind `{other}` of src/values/settings/table.rs is new: add it to `kind` in \
             bindings/c/tests/header/settings.rs"
        ),
    };
    Kind {
        c,
        rust,
        cpp,
        cpp_shown,
        says,
    }
}

fn settings() -> Vec<Setting> {
    let source = read("src/values/settings/table.rs");
    let (_, table) = source
        .split_once("macro_rules! setting_table")
        .expect("it is there");
    let (table, _) = table.split_once("\nmacro_rules!").expect("others follow");
    let settings: Vec<_> = table.lines().filter_map(setting).collect();
    assert!(
        settings.len() >= 12,
        "lines of the table are not understood"
    );
    settings
}

/// `name Variant field: kind = default;`
fn setting(line: &str) -> Option<Setting> {
    let (head, default) = line.trim().strip_suffix(';')?.split_once(" = ")?;
    let (names, kind) = head.split_once(": ")?;
    let [name, _, field] = names.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(Setting {
        name: name.to_owned(),
        field: field.to_owned(),
        kind: kind.to_owned(),
        default: default.to_owned(),
    })
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A field of a struct in the header: its type, its name and its comment in one line.
struct Field {
    c: String,
    name: String,
    says: String,
}

fn fields(header: &str, name: &str) -> Vec<Field> {
    let end = format!("\n}} {name};");
    let (before, _) = header.split_once(&end).unwrap_or_else(|| panic!("{name}"));
    let start = format!("typedef struct {name} {{\n");
    let (_, body) = before
        .rsplit_once(&start)
        .unwrap_or_else(|| panic!("{name}"));
    let mut fields = Vec::new();
    let mut says = String::new();
    for line in body.lines().map(str::trim) {
        if line.starts_with(['/', '*']) {
            let text = line.trim_start_matches(['/', '*']);
            write!(says, "{} ", text.trim()).expect("a string");
            continue;
        }
        let code = line.trim_end_matches(';');
        let at = code.rfind([' ', '*']).expect("a type and a name") + 1;
        fields.push(Field {
            c: code[..at].trim().to_owned(),
            name: code[at..].to_owned(),
            says: std::mem::take(&mut says),
        });
    }
    fields
}

/// The macro that initialises a struct of settings, of its fields in this part of the header.
pub(super) fn initialiser(header: &str, name: &str) -> String {
    let table = settings();
    let value = |field: &Field| {
        let of_table = table.iter().find(|setting| setting.field == field.name);
        match (name, &*field.c, of_table) {
            (_, "size_t", _) if field.name == "size" => format!("sizeof(brama_{name}_t)"),
            (_, "size_t", _) => "0".to_owned(),
            (_, pointer, _) if pointer.ends_with('*') => "NULL".to_owned(),
            ("settings", _, Some(setting)) if setting.kind == "optional_time" => {
                "BRAMA_NONE".to_owned()
            }
            ("settings", "double", _) => "0.0".to_owned(),
            ("settings", ..) => "0".to_owned(),
            (_, "uint32_t", _) => "BRAMA_NOT_GIVEN_U32".to_owned(),
            (_, "uint64_t", _) => "BRAMA_NOT_GIVEN_U64".to_owned(),
            (_, "double", _) => "BRAMA_NOT_GIVEN_F64".to_owned(),
            (_, "int32_t" | "brama_expiry_strategy_t", _) => "BRAMA_NOT_GIVEN_I32".to_owned(),
            (_, other, _) => panic!("{name}: what stands for nothing in a field of type {other}?"),
        }
    };
    let mut text = format!(
        "/** brama_{name}_init as an initialiser. */\n#define BRAMA_{}_INIT \\\n    {{ ",
        name.to_uppercase()
    );
    let mut column = 6;
    let fields = fields(header, &format!("brama_{name}_t"));
    let last = fields.len() - 1;
    for (n, field) in fields.iter().enumerate() {
        let value = value(field) + if n == last { " }\n\n" } else { ", " };
        if column + value.len() > 78 {
            text.truncate(text.trim_end().len());
            text.push_str(" \\\n      ");
            column = 6;
        }
        column += value.len();
        text.push_str(&value);
    }
    text
}

/// The table for C's preprocessor.
fn for_tests() -> String {
    let mut text = "\
/*
 * Every setting of a circuit, as src/values/settings/table.rs has it:
 * SETTING(its name outside of C, its field in C, its kind, its default).
 * `BRAMA_BLESS=1 cargo test -p brama-capi --test header` rewrites this.
 */
"
    .to_owned();
    for setting in settings() {
        let default = match &*setting.default {
            "None" => "BRAMA_NONE".to_owned(),
            "ExpiryStrategy::Fixed" => "BRAMA_EXPIRY_FIXED".to_owned(),
            number => number.replace('_', ""),
        };
        let Setting {
            name, field, kind, ..
        } = setting;
        writeln!(text, "SETTING({name}, {field}, {kind}, {default})").expect("a string");
    }
    text
}

#[test]
fn the_table_for_tests_is_that_of_the_source() {
    let path = root().join("bindings/c/tests/c/settings_table.h");
    if std::env::var_os("BRAMA_BLESS").is_some() {
        fs::write(&path, for_tests()).expect("it can be written");
    }
    let committed = fs::read_to_string(&path).expect("it exists");
    assert!(
        committed == for_tests(),
        "tests/c/settings_table.h is not what src/values/settings/table.rs says: \
         run `BRAMA_BLESS=1 cargo test -p brama-capi --test header` and commit what changed"
    );
}

/// Whether a comment names the default of a setting, or says of what it is made.
fn names_the_default(comment: &str, setting: &Setting) -> bool {
    let default = setting.default.replace('_', "");
    comment.contains("(default)")
        || comment.contains("Default: ")
        || comment.contains(&format!("Default {default}."))
}

#[test]
fn structs_of_c_have_every_setting() {
    let header = super::generate();
    let table = settings();
    for (name, file) in [
        ("brama_options_t", "config.rs"),
        ("brama_config_t", "config.rs"),
        ("brama_settings_t", "status.rs"),
    ] {
        let fields = fields(&header, name);
        for setting in &table {
            let kind = kind(&setting.kind);
            let line = format!("pub {}: {},", setting.field, kind.rust);
            let place = format!("struct {name} of src/ffi/{file}");
            let found = fields.iter().find(|found| found.name == setting.field);
            let found = found.unwrap_or_else(|| panic!("add to {place}: `{line}`"));
            assert!(found.c == kind.c, "{place}: it has to be `{line}`");
            let comment = &found.says;
            if name == "brama_options_t" {
                for text in kind.says {
                    assert!(
                        comment.contains(text),
                        "{place}: the comment of `{line}` has to say {text:?}, not {comment:?}"
                    );
                }
                assert!(
                    names_the_default(comment, setting),
                    "{place}: the comment of `{line}` has to say \"Default {}.\", not {comment:?}",
                    setting.default
                );
            }
            assert!(
                name != "brama_settings_t"
                    || setting.kind != "optional_time"
                    || comment.contains("BRAMA_NONE"),
                "{place}: the comment of `{line}` has to say what BRAMA_NONE means"
            );
        }
        let order = fields.iter().map(|field| &field.name);
        let order = order.filter(|name| table.iter().any(|setting| setting.field == **name));
        assert!(
            order.eq(table.iter().map(|setting| &setting.field)),
            "the settings of {name} in src/ffi/{file} have to have the order of the table"
        );
    }
}

#[test]
fn structs_of_cpp_have_every_setting() {
    let header = read("bindings/cpp/brama.hpp");
    let part = |start: &str, end: &str| {
        let (_, rest) = header
            .split_once(start)
            .unwrap_or_else(|| panic!("{start}"));
        rest.split_once(end).unwrap_or_else(|| panic!("{end}")).0
    };
    for Setting {
        name, field, kind, ..
    } in settings()
    {
        let Kind { cpp, cpp_shown, .. } = self::kind(&kind);
        let given = format!("std::optional<{cpp}> {name} = {{}};");
        let shown = format!("{cpp_shown} {name};");
        let put = format!("put(\"{name}\", to.{field}, from.{name});");
        let from = format!("set.{field}");
        for (place, body, line) in [
            ("struct Options", part("\nstruct Options {", "\n};"), &given),
            ("struct Config", part("\nstruct Config {", "\n};"), &given),
            (
                "struct Settings",
                part("\nstruct Settings {", "\n};"),
                &shown,
            ),
            ("Filler::put_all", part("void put_all(", "\n    }"), &put),
            (
                "Status::from, at its place",
                part("Settings settings{", ";"),
                &from,
            ),
        ] {
            assert!(
                body.contains(line.as_str()),
                "add to {place} of bindings/cpp/brama.hpp: `{line}`"
            );
        }
    }
}

#[test]
fn the_readme_names_every_setting() {
    let readme = read("README.md");
    for Setting { name, .. } in settings() {
        assert!(
            readme.contains(&format!("\n| `{name}`")),
            "add to the defaults in README.md: | `{name}` | its default | what is allowed |"
        );
    }
}
