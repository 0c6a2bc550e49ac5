//! Tests the places where the settings of `src/values/settings/table.rs` are written out by hand.
//! No macro can write them there: cbindgen reads the C structs without expanding macros, and
//! compilers and type checkers of C++ and Python need the text. One test compares all places with
//! the table, and says which lines are missing.
//!
//! `tests/c/settings_table.h` is the table for the C preprocessor. The tests in C, C++ and Python
//! go over it, so that a new setting is tested without another line.

use std::fmt::Write;
use std::fs;

use super::root;

/// A setting, as a line of the table has it.
struct Setting {
    name: String,
    field: String,
    kind: String,
    default: String,
}

/// The kinds of settings. The columns are: its name; its type in the C header; in `src/ffi`; in
/// C++ as given and as shown; in Python as given and as shown; the text that its comment in C must
/// have.
const KINDS: &str = "
attempts | uint32_t | u32 | std::uint32_t | std::uint32_t | Union[int, Unlimited, Inherit, None] | Optional[int] | At least 1
calls | uint32_t | u32 | std::uint32_t | std::uint32_t | Union[int, Inherit] | int | 1 to 65535
time | uint64_t | u64 | Milliseconds | Milliseconds | Union[Duration, Inherit] | int | At least
optional_time | uint64_t | u64 | Milliseconds | std::optional<Milliseconds> | Union[Duration, Inherit, None] | Optional[int] | At least 1; BRAMA_NONE (default)
bounded_time | uint64_t | u64 | Milliseconds | Milliseconds | Union[Duration, Inherit] | int | 1000 to 3600000
count | uint64_t | u64 | std::uint64_t | std::uint64_t | Union[int, Inherit] | int | At least 1
optional_calls | uint64_t | u64 | std::uint64_t | std::optional<std::uint64_t> | Union[int, Inherit, None] | Optional[int] | 10 to 100000; BRAMA_NONE (default)
factor | double | f64 | double | double | Union[float, Inherit] | float | Finite, at least 1.0
part | double | f64 | double | double | Union[float, Inherit] | float | 0.0 to 1.0
optional_rate | double | f64 | double | std::optional<double> | Union[float, Inherit, None] | Optional[float] | Above 0.0, at most 1.0; BRAMA_NONE_F64 (default)
share | double | f64 | double | double | Union[float, Inherit] | float | Above 0.0, at most 1.0
strategy | brama_expiry_strategy_t | brama_expiry_strategy_t | ExpiryStrategy | ExpiryStrategy | Union[ExpiryStrategy, str, Inherit] | ExpiryStrategy | BRAMA_EXPIRY_FIXED (default)
mode | brama_mode_t | brama_mode_t | Mode | Mode | Union[Mode, str, Inherit] | Mode | BRAMA_MODE_NORMAL (default)
flag | int32_t | i32 | Flag | bool | Union[bool, Inherit] | bool | 1 (default)
";

/// The places outside of C where settings are written out: a file, the texts where the part
/// begins and ends, and the line that it has for each setting. A number in braces is a column of
/// [`KINDS`].
const PLACES: [[&str; 4]; 11] = [
    [
        "bindings/cpp/brama.hpp",
        "\nstruct Options {",
        "\n};",
        "    std::optional<{3}> {name} = {};",
    ],
    [
        "bindings/cpp/brama.hpp",
        "\nstruct Config {",
        "\n};",
        "    std::optional<{3}> {name} = {};",
    ],
    [
        "bindings/cpp/brama.hpp",
        "\nstruct Settings {",
        "\n};",
        "    {4} {name};",
    ],
    [
        "bindings/cpp/brama.hpp",
        "void put_all(",
        "\n    }",
        "        put(\"{name}\", to.{field}, from.{name});",
    ],
    [
        "bindings/cpp/brama.hpp",
        " Settings settings{",
        ";",
        "set.{field}",
    ],
    [
        "bindings/python/src/brama/_abi.py",
        "\nSETTINGS: ",
        "\n}",
        "    \"{name}\": \"{kind}\",",
    ],
    [
        "bindings/python/src/brama/_settings.py",
        "\nclass ConnectionSettings(",
        "\nclass ",
        "    {name}: {5}\n    \"\"\"",
    ],
    [
        "bindings/python/src/brama/_settings.py",
        "\nclass ManagerSettings(",
        "\n\n\n",
        "    {name}: {5}\n",
    ],
    [
        "bindings/python/src/brama/_status.py",
        "\nclass Settings:",
        "\nclass ",
        "    {name}: {6}",
    ],
    ["bindings/python/README.md", "", "", "| `{name}` |"],
    [
        "src/docs/rules.md",
        "\n## All settings",
        "\n## ",
        "| `{name}`",
    ],
];

impl Setting {
    /// The columns of the setting's kind.
    fn kind(&self) -> Vec<&'static str> {
        let rows = KINDS
            .lines()
            .map(|row| row.split(" | ").collect::<Vec<_>>());
        let found = rows.into_iter().find(|row| row[0] == self.kind);
        found.unwrap_or_else(|| panic!("a new kind, {}: add it to KINDS", self.kind))
    }

    /// The constant for no value in C; `None` if the kind is not optional.
    fn none(&self) -> Option<&'static str> {
        match &*self.kind {
            kind if !kind.starts_with("optional_") => None,
            "optional_rate" => Some("BRAMA_NONE_F64"),
            _ => Some("BRAMA_NONE"),
        }
    }

    /// The line of this setting that a pattern of [`PLACES`] makes.
    fn line(&self, pattern: &str) -> String {
        let mut line = pattern
            .replace("{name}", &self.name)
            .replace("{field}", &self.field)
            .replace("{kind}", &self.kind);
        for (n, column) in self.kind().iter().enumerate() {
            line = line.replace(&format!("{{{n}}}"), column);
        }
        line
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

/// The setting of a line `name Variant field: kind = default;`; `None` for any other line.
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

/// The macro that initialises a struct of settings. Reads the fields from this part of the header.
pub(super) fn initialiser(header: &str, name: &str) -> String {
    let table = settings();
    let value = |field: &Field| {
        let of_table = table.iter().find(|setting| setting.field == field.name);
        match (name, &*field.c, of_table) {
            (_, "size_t", _) if field.name == "size" => format!("sizeof(brama_{name}_t)"),
            (_, "size_t", _) => "0".to_owned(),
            (_, pointer, _) if pointer.ends_with('*') => "NULL".to_owned(),
            ("settings", _, Some(setting)) if setting.none().is_some() => {
                setting.none().expect("just seen").to_owned()
            }
            ("settings", "double", _) => "0.0".to_owned(),
            ("settings", ..) => "0".to_owned(),
            (_, "uint32_t", _) => "BRAMA_NOT_GIVEN_U32".to_owned(),
            (_, "uint64_t", _) => "BRAMA_NOT_GIVEN_U64".to_owned(),
            (_, "double", _) => "BRAMA_NOT_GIVEN_F64".to_owned(),
            (_, "int32_t" | "brama_expiry_strategy_t" | "brama_mode_t", _) => {
                "BRAMA_NOT_GIVEN_I32".to_owned()
            }
            (_, "int64_t", _) => "BRAMA_NOT_GIVEN_I64".to_owned(),
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

/// The text of `tests/c/settings_table.h`.
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
            "None" => setting.none().expect("an optional kind").to_owned(),
            "ExpiryStrategy::Fixed" => "BRAMA_EXPIRY_FIXED".to_owned(),
            "$crate::values::mode::Mode::Normal" => "BRAMA_MODE_NORMAL".to_owned(),
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

/// Whether a comment names the default of a setting, or says how the default is derived.
fn names_the_default(comment: &str, setting: &Setting) -> bool {
    let default = setting.default.replace('_', "");
    comment.contains("(default)")
        || comment.contains("Default: ")
        || comment.contains(&format!("Default {default}."))
}

/// Adds to `missing` each line and text that a C struct lacks.
fn missing_in_c(header: &str, name: &str, file: &str, missing: &mut Vec<String>) {
    let table = settings();
    let fields = fields(header, name);
    for setting in &table {
        let kind = setting.kind();
        let line = format!("{file}, {name}: `{}`", setting.line("pub {field}: {2},"));
        let Some(found) = fields.iter().find(|found| found.name == setting.field) else {
            missing.push(line);
            continue;
        };
        if found.c != kind[1] {
            missing.push(format!("{line}, not {}", found.c));
        }
        let comment = &found.says;
        let says = match name {
            "brama_options_t" => kind[7],
            "brama_settings_t" => setting.none().unwrap_or_default(),
            _ => "",
        };
        let unsaid = says.split("; ").filter(|text| !comment.contains(text));
        missing.extend(unsaid.map(|text| format!("{line}: its comment has to say {text:?}")));
        if name == "brama_options_t" && !names_the_default(comment, setting) {
            missing.push(format!(
                "{line}: its comment has to say \"Default {}.\"",
                setting.default
            ));
        }
    }
    let order = fields.iter().map(|field| &field.name);
    let order = order.filter(|name| table.iter().any(|setting| setting.field == **name));
    if !order.eq(table.iter().map(|setting| &setting.field)) {
        missing.push(format!("{file}, {name}: the order of the table"));
    }
}

#[test]
fn every_setting_is_written_out_where_it_has_to_be() {
    let mut missing = Vec::new();
    let header = super::generate();
    missing_in_c(
        &header,
        "brama_options_t",
        "src/ffi/config.rs",
        &mut missing,
    );
    missing_in_c(&header, "brama_config_t", "src/ffi/config.rs", &mut missing);
    missing_in_c(
        &header,
        "brama_settings_t",
        "src/ffi/settings.rs",
        &mut missing,
    );
    for [file, start, end, pattern] in PLACES {
        let text = read(file);
        let (_, part) = text
            .split_once(start)
            .unwrap_or_else(|| panic!("{file}: {start}"));
        let part = match end {
            "" => part,
            end => {
                part.split_once(end)
                    .unwrap_or_else(|| panic!("{file}: {end}"))
                    .0
            }
        };
        let lines = settings().into_iter().map(|setting| setting.line(pattern));
        let absent = lines.filter(|line| !part.contains(line.as_str()));
        let place = start.trim_matches(|of: char| !of.is_alphanumeric());
        missing.extend(absent.map(|line| format!("{file}, {place}: `{}`", line.trim())));
    }
    assert!(
        missing.is_empty(),
        "lines that src/values/settings/table.rs asks for and that are not there:\n{}",
        missing.join("\n")
    );
}
