//! Tests that `include/brama.h` agrees with the source: generates it again, section by section,
//! and compares. `BRAMA_BLESS=1 cargo test -p brama-capi --test header` rewrites it.

#[path = "header/layout.rs"]
mod layout;
#[path = "header/settings.rs"]
mod settings;

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The files that export something, in the order of the header. Each has its title, and macros
/// that come before its text. [`AFTER`] has the macros that come at the end of a section.
const SECTIONS: [(&str, &str, &str); 23] = [
    ("version", "The version", ""),
    ("errors", "Results and errors", ""),
    (
        "types",
        "States, types of events, numbers with a meaning",
        TYPE_MACROS,
    ),
    ("handles", "Opaque types", ""),
    ("config", "Settings", ""),
    ("manager", "Managers", ""),
    ("report", "What comes with a report", ""),
    ("by_name", "Connections by name", ""),
    ("connection", "Connections by handle", ""),
    ("permit", "Guarded calls", ""),
    ("permit_report", "What became of a guarded call", ""),
    ("durations", "How long a call has lasted", ""),
    ("pass_word", "Guarded calls by reading", ""),
    ("control", "Circuits by hand", ""),
    ("settings", "Settings in effect", ""),
    ("status", "Status", ""),
    ("snapshot", "All connections, one after the other", ""),
    ("save", "The state of all circuits, saved and restored", ""),
    ("event", "Events", ""),
    ("subscribe", "Subscriptions with a callback", ""),
    ("queue", "Queues of events", ""),
    ("batch", "Many handles in one call", ""),
    ("clock", "Time that a test decides", ""),
];

const TYPE_MACROS: &str = "\
/*
 * NUMBERS WITH A MEANING. Use the constant for the type of the field:
 *
 *     -1   BRAMA_NEVER, BRAMA_UNLIMITED   without an end, without a limit
 *     -2   BRAMA_NOT_GIVEN_...            the setting stays as it is
 *     -3   BRAMA_INHERIT_...              the setting is taken back
 *     -4   BRAMA_NONE                     no value
 *
 * The number on the left is the value of the constant as a signed number, at each width. So a
 * constant that C cuts to the width of a narrower field keeps its meaning. A setting refuses a
 * constant that means nothing for it.
 *
 * A 32-bit constant in a field of type uint64_t does not keep its meaning: BRAMA_NOT_GIVEN_U32 is
 * 4294967294 there. Settings, expiries, waits and durations refuse 4294967294 and 4294967293, which
 * is BRAMA_INHERIT_U32. They take BRAMA_UNLIMITED as the number 4294967295.
 *
 * A double has constants of its own: BRAMA_NOT_GIVEN_F64, BRAMA_INHERIT_F64 and BRAMA_NONE_F64. A
 * setting of type double refuses the constants for whole numbers.
 */

/** The bit of an event type in brama_filter_t.event_types. */
#define BRAMA_EVENT_BIT(event_type) (UINT32_C(1) << (event_type))

/** In brama_filter_t.scope and brama_for_each: only connections without a scope. */
#define BRAMA_NO_SCOPE \"\"
/** Instead of the length of a string: it ends with a NUL. */
#define BRAMA_TERMINATED SIZE_MAX

";

/// The macros that initialise a struct, by the section at whose end they come. `structs.c`
/// compares them with the `_init` functions. [`settings::initialiser`] makes those of settings.
const AFTER: [(&str, &str); 5] = [
    (
        "report",
        "/** brama_report_init as an initialiser. */\n\
         #define BRAMA_REPORT_INIT \\\n    \
         { sizeof(brama_report_t), NULL, NULL, 0, NULL, BRAMA_TERMINATED }\n\n",
    ),
    (
        "permit",
        "/** A permit of zeroes as an initialiser. */\n\
         #define BRAMA_PERMIT_INIT { { 0, 0, 0, 0, 0, 0 } }\n\n",
    ),
    ("status", STATUS_MACROS),
    (
        "subscribe",
        "/** brama_filter_init as an initialiser. */\n\
         #define BRAMA_FILTER_INIT \\\n    \
         { sizeof(brama_filter_t), 0, 0, NULL, NULL, NULL, NULL, NULL }\n\n\
         /** brama_event_counts_init as an initialiser. */\n\
         #define BRAMA_EVENT_COUNTS_INIT { sizeof(brama_event_counts_t), 0, 0, 0, 0, 0, 0, 0 }\n\n",
    ),
    (
        "batch",
        "/** brama_report_item_init as an initialiser. */\n\
         #define BRAMA_REPORT_ITEM_INIT \\\n    \
         { sizeof(brama_report_item_t), NULL, NULL, BRAMA_TERMINATED, 0, BRAMA_OK }\n\n",
    ),
];

/// The structs of settings: the section and the name of each.
const OF_SETTINGS: [(&str, &str); 3] = [
    ("config", "options"),
    ("config", "config"),
    ("settings", "settings"),
];

const STATUS_MACROS: &str = "\
/** brama_status_init as an initialiser. */
#define BRAMA_STATUS_INIT \\
    { sizeof(brama_status_t), \"\", NULL, NULL, 0, NULL, BRAMA_STATE_UNKNOWN, 0, 0, 0, \\
      NULL, NULL, 0, 0, 0, 0, -1.0, BRAMA_NONE_F64, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE, \\
      BRAMA_NONE, 0, 0, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE, 0, 0, \\
      BRAMA_MODE_NORMAL, BRAMA_NONE, BRAMA_NONE, BRAMA_NONE }

/** brama_state_counts_init as an initialiser. */
#define BRAMA_STATE_COUNTS_INIT { sizeof(brama_state_counts_t), 0, 0, 0 }

";

/// The macros of function declarations.
const DECLARATIONS: &str = "\
/**
 * Before every declaration. Define it yourself before you include this header if your
 * compiler needs something else.
 */
#ifndef BRAMA_API
#if defined(_WIN32) && !defined(BRAMA_STATIC)
#define BRAMA_API __declspec(dllimport)
#elif defined(__GNUC__)
#define BRAMA_API __attribute__((visibility(\"default\")))
#else
#define BRAMA_API
#endif
#endif

/** Before functions whose answer must be looked at. */
#ifndef BRAMA_MUST_USE
#if defined(__GNUC__)
#define BRAMA_MUST_USE __attribute__((warn_unused_result))
#else
#define BRAMA_MUST_USE
#endif
#endif

";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn generate() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("valid");
    let introduction = config.header.clone().expect("an introduction");
    let mut header = format!(
        "{}\n\n#ifndef BRAMA_H\n#define BRAMA_H\n\n\
         #include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n",
        introduction.trim()
    );
    for (file, title, macros) in SECTIONS {
        let rule = "-".repeat(80 - title.len());
        write!(header, "\n/* -- {title} {rule} */\n\n").expect("a string");
        if file == "version" {
            header.push_str(&versions());
            header.push_str(DECLARATIONS);
        }
        header.push_str(&layout::example(file));
        header.push_str(macros);
        let section = section(&config, &root().join(format!("src/ffi/{file}.rs")));
        header.push_str(&layout::arranged(&section));
        for (_, name) in OF_SETTINGS.iter().filter(|(of, _)| *of == file) {
            header.push_str(&settings::initialiser(&section, name));
        }
        let after = AFTER.iter().filter(|(section, _)| *section == file);
        after.for_each(|(_, macros)| header.push_str(macros));
    }
    header.push_str("\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* BRAMA_H */\n");
    header
}

fn section(config: &cbindgen::Config, file: &Path) -> String {
    let mut config = config.clone();
    config.header = None;
    let mut text = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(file)
        .generate()
        .expect("it can be parsed")
        .write(&mut text);
    let text = String::from_utf8(text).expect("UTF-8");
    text.trim().lines().map(definition).collect()
}

/// A line of the header as a C programmer would write it. A negative number is in parentheses. A
/// large one is hexadecimal, with the macro of the width that it needs.
fn definition(line: &str) -> String {
    let parts: Vec<_> = line.split(' ').collect();
    let value = match parts[..] {
        ["#define", _, value] if value.starts_with('-') => format!("({value})"),
        ["#define", _, value] => match value.trim_end_matches("ull").parse::<u64>() {
            Ok(number) if number > u64::from(u32::MAX) => format!("UINT64_C({number:#x})"),
            Ok(number) if number > 0x7fff_ffff => format!("UINT32_C({number:#x})"),
            _ => value.to_owned(),
        },
        // Uses of a struct have the shorter name of its typedef.
        _ if !line.starts_with("typedef struct") => {
            return line.replace("struct brama_", "brama_") + "\n";
        }
        _ => return format!("{line}\n"),
    };
    format!("#define {} {value}\n", parts[1])
}

/// The macros of the version. They are made from the package's version, so that they agree.
fn versions() -> String {
    let [major, minor, patch] = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ];
    let abi = match major {
        "0" => minor.to_owned(),
        major => format!("{major}000"),
    };
    format!(
        "/** The version of this header. */\n\
         #define BRAMA_VERSION_MAJOR {major}\n\
         #define BRAMA_VERSION_MINOR {minor}\n\
         #define BRAMA_VERSION_PATCH {patch}\n\
         #define BRAMA_VERSION_STRING \"{}\"\n\n\
         /** The version as one number, for #if: 1002003 is 1.2.3. */\n\
         #define BRAMA_VERSION \\\n    \
         (BRAMA_VERSION_MAJOR * 1000000 + BRAMA_VERSION_MINOR * 1000 + BRAMA_VERSION_PATCH)\n\n\
         /** The version of the binary interface that this header describes. */\n\
         #define BRAMA_ABI_VERSION {abi}\n\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[test]
fn the_header_is_what_the_source_says() {
    let path = root().join("include/brama.h");
    let generated = generate();
    if std::env::var_os("BRAMA_BLESS").is_some() {
        std::fs::write(&path, generated).expect("include/ can be written to");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("include/brama.h exists");
    let differing = committed
        .lines()
        .zip(generated.lines())
        .position(|(old, new)| old != new)
        .map_or("the end".to_owned(), |line| format!("line {}", line + 1));
    assert!(
        committed == generated,
        "include/brama.h is not what src/ffi says, from {differing} on: \
         run `BRAMA_BLESS=1 cargo test -p brama-capi --test header` and commit what changed"
    );
}

#[test]
fn every_file_that_exports_has_its_section() {
    for entry in std::fs::read_dir(root().join("src/ffi")).expect("src/ffi exists") {
        let path = entry.expect("readable").path();
        let source = std::fs::read_to_string(&path).expect("readable");
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let exports = source.contains("no_mangle") || source.contains("pub const BRAMA_");
        let listed = SECTIONS.iter().any(|(file, ..)| *file == name);
        assert!(
            !exports || listed,
            "{name}.rs exports and is in no section of the header"
        );
    }
}

#[test]
fn the_header_speaks_c() {
    let header = std::fs::read_to_string(root().join("include/brama.h")).expect("exists");
    for foreign in [
        "# Safety", "[`", "`]", "::", "Option<", "&mut", "rustdoc", "None",
    ] {
        assert!(!header.contains(foreign), "the header says {foreign:?}");
    }
}

/// The comment of each function, in lower case, and the part of its declaration before `(`.
fn comments() -> HashMap<String, (String, String)> {
    let header = std::fs::read_to_string(root().join("include/brama.h")).expect("exists");
    let mut comments = HashMap::new();
    for part in header.split("/**").skip(1) {
        let (comment, code) = part.split_once("*/").expect("comments end");
        let Some((before, _)) = code.split_once('(') else {
            continue;
        };
        let name = before.split([' ', '*', '\n']).next_back().expect("one");
        if name.starts_with("brama_") && !code.contains('{') {
            comments.insert(name.to_owned(), (comment.to_lowercase(), before.to_owned()));
        }
    }
    assert!(comments.len() > 100, "{}", comments.len());
    comments
}

/// The functions whose declaration is `wanted` and whose comment does not say what `says` asks for.
/// A comment that does not say it may refer to another function: the first one that it names.
fn silent(wanted: impl Fn(&str) -> bool, says: impl Fn(&str) -> bool) -> Vec<String> {
    let comments = comments();
    let is_silent = |name: &String| {
        let mut at = name.clone();
        for _ in 0..5 {
            let comment = &comments[&at].0;
            if says(comment) {
                return false;
            }
            let words = comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let mut others = words.filter(|word| comments.contains_key(*word) && *word != at);
            match others.next() {
                Some(other) => at = other.to_owned(),
                None => return true,
            }
        }
        true
    };
    let of_those = comments.iter().filter(|(_, (_, code))| wanted(code));
    let names = of_those.map(|(name, _)| name);
    names.filter(|name| is_silent(name)).cloned().collect()
}

/// The introduction says of all functions that any thread may call them.
#[test]
fn only_exceptions_say_which_threads_may_call_them() {
    let says = |comment: &String| comment.split_whitespace().collect::<Vec<_>>().join(" ");
    let of_all: Vec<_> = comments()
        .into_iter()
        .filter(|(_, (comment, _))| says(comment).contains(". any thread"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(of_all, [""; 0]);
}

#[test]
fn every_function_that_answers_a_code_says_which() {
    let wanted = |code: &str| code.contains("brama_result_t");
    let says = |comment: &str| comment.contains("brama_err_") || comment.contains("never fails");
    assert_eq!(silent(wanted, says), [""; 0]);
}
