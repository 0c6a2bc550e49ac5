//! The layout of the header: a comment of one line of text takes one line, and the constants of a
//! type come after the type.
//!
//! cbindgen writes each comment in three lines or more, and all constants of a file in one place.
//! Its output is blocks with an empty line between them. A block is a comment and a declaration.

/// The types that have constants, each with the prefix of their names.
const FAMILIES: [(&str, &str); 7] = [
    ("brama_state_t", "BRAMA_STATE_"),
    ("brama_event_type_t", "BRAMA_EVENT_"),
    ("brama_mode_t", "BRAMA_MODE_"),
    ("brama_cause_t", "BRAMA_CAUSE_"),
    ("brama_expiry_strategy_t", "BRAMA_EXPIRY_"),
    ("brama_outcome_t", "BRAMA_OUTCOME_"),
    ("brama_result_t", "BRAMA_ERR_"),
];

/// The widest line.
const COLUMNS: usize = 100;

/// The example of a section, as a comment, if `tests/c/examples.c` has one.
pub(super) fn example(section: &str) -> String {
    let path = super::root().join("bindings/c/tests/c/examples.c");
    let source = std::fs::read_to_string(path).expect("tests/c/examples.c exists");
    let Some((_, rest)) = source.split_once(&format!("/* Example of {section}: */\n")) else {
        return String::new();
    };
    let (example, _) = rest.split_once("/* End. */").expect("examples end");
    let indent = example.len() - example.trim_start().len();
    let line = |line: &str| {
        let code = line.get(indent..).unwrap_or_default();
        // A comment cannot stand inside a comment.
        let code = code.replace("/*", "//").replace(" */", "");
        format!(" *     {code}").trim_end().to_owned() + "\n"
    };
    let lines: String = example.trim_end().lines().map(line).collect();
    format!("/*\n{lines} */\n\n")
}

/// A section of the header, arranged.
pub(super) fn arranged(section: &str) -> String {
    let compact = with_short_comments(section);
    let mut blocks: Vec<&str> = compact.trim_end().split("\n\n").collect();
    for (name, prefix) in FAMILIES {
        let definition = format!("\ntypedef int32_t {name};");
        if !blocks.iter().any(|block| block.ends_with(&definition)) {
            continue;
        }
        let (constants, others): (Vec<_>, Vec<_>) = blocks
            .into_iter()
            .partition(|block| constant(block).is_some_and(|name| is_of(name, prefix)));
        blocks = others;
        let place = blocks.iter().position(|block| block.ends_with(&definition));
        let place = place.expect("seen above") + 1;
        blocks.splice(place..place, constants);
    }
    let mut text = String::new();
    let mut before = None;
    for block in blocks {
        if !text.is_empty() {
            text.push('\n');
        }
        let family = short_constant(block);
        if !text.is_empty() && (family.is_none() || family != before) {
            text.push('\n');
        }
        text.push_str(block);
        before = family;
    }
    text + "\n"
}

fn is_of(constant: &str, prefix: &str) -> bool {
    constant.starts_with(prefix) || prefix == "BRAMA_ERR_" && constant == "BRAMA_OK"
}

/// The constant that a block defines; `None` if it defines none.
fn constant(block: &str) -> Option<&str> {
    let line = block.lines().last()?.strip_prefix("#define ")?;
    line.split(' ').next()
}

/// The family of the constant that a block of two lines defines, otherwise `None`. No empty line
/// comes between two such blocks of one family.
fn short_constant(block: &str) -> Option<&str> {
    let name = constant(block)?;
    let family = name.rfind('_').map_or(name, |end| &name[..end]);
    let first = FAMILIES.iter().find(|(_, prefix)| is_of(name, prefix));
    let family = first.map_or(family, |(_, prefix)| prefix);
    (block.lines().count() == 2).then_some(family)
}

/// The section with each comment of one line of text in one line.
fn with_short_comments(section: &str) -> String {
    let lines: Vec<_> = section.lines().collect();
    let mut text = String::new();
    let mut at = 0;
    while at < lines.len() {
        let short = lines.get(at..at + 3).and_then(short_comment);
        at += if short.is_some() { 3 } else { 1 };
        text.push_str(short.as_deref().unwrap_or(lines[at - 1]));
        text.push('\n');
    }
    text
}

/// Three lines as one, if they are a comment that fits into one. Otherwise `None`.
fn short_comment(lines: &[&str]) -> Option<String> {
    let [first, text, last] = lines else {
        return None;
    };
    let indent = first.strip_suffix("/**")?;
    let text = text.trim().strip_prefix("* ")?;
    let short = format!("{indent}/** {text} */");
    (last.trim() == "*/" && short.len() <= COLUMNS).then_some(short)
}
