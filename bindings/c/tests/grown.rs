//! The structs of the interface may grow. The test makes a copy of the source, in which each
//! struct has one more field at its end. It compiles one program with today's header and one with
//! the header of the copy. Each of them runs with today's library and with that of the copy.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each program uses its part")]
#[path = "ffi/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tools::{Compiler, Language, library, programs, root, run, soname};

/// The structs that begin with their size.
const STRUCTS: [&str; 10] = [
    "options",
    "config",
    "report",
    "report_item",
    "status",
    "settings",
    "state_counts",
    "event",
    "filter",
    "event_counts",
];

fn place() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("grown")
}

/// Writes a file unless it has this text already, so that cargo compiles only changed files.
fn put(file: &Path, text: &[u8]) {
    if fs::read(file).is_ok_and(|found| found == text) {
        return;
    }
    fs::create_dir_all(file.parent().expect("in a folder")).expect("a folder can be made");
    fs::write(file, text).expect("it can be written");
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("readable").path();
        let to = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &to),
            false => put(&to, &grown(&path)),
        }
    }
}

/// The text of a source file, in which each of the structs has one more field.
fn grown(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("readable");
    if path
        .parent()
        .is_none_or(|folder| !folder.ends_with("src/ffi"))
    {
        return bytes;
    }
    let text = String::from_utf8(bytes).expect("UTF-8");
    let mut found = String::new();
    let mut in_struct = false;
    for line in text.lines() {
        let code = line.trim();
        let is_one = |before: &str| {
            let name = code.strip_prefix(before);
            let name = name.and_then(|rest| rest.strip_suffix(" {"));
            name.is_some_and(|name| STRUCTS.iter().any(|of| name == format!("brama_{of}_t")))
        };
        if is_one("pub struct ") {
            in_struct = true;
        } else if in_struct && line == "}" {
            in_struct = false;
            found += "    /// New.\n    pub grown: u64,\n";
        }
        found += line;
        found.push('\n');
        if ["", "const BLANK: Self = ", "let known = ", "let event = "]
            .iter()
            .any(|of| is_one(of))
        {
            found += "grown: 0,\n";
        }
    }
    let first = "const FIRST_SIZE: usize = size_of::<Self>();";
    let then = "const FIRST_SIZE: usize = std::mem::offset_of!(Self, grown);";
    found.replace(first, then).into_bytes()
}

/// A copy of the header with the new fields, made by the rules of `src/ffi/mod.rs`.
fn header() -> String {
    let mut header = fs::read_to_string(root().join("include/brama.h")).expect("it exists");
    let mut macros = String::new();
    for name in STRUCTS {
        let end = format!("}} brama_{name}_t;");
        assert!(header.contains(&end), "{name}");
        header = header.replace(&end, &format!("    uint64_t grown;\n{end}"));
        if name == "event" {
            continue;
        }
        let initialiser = format!("#define BRAMA_{}_INIT ", name.to_uppercase());
        let start = header.find(&initialiser).expect("it has a macro");
        let close = start + header[start..].find("}\n").expect("it ends");
        header.insert_str(close, ", 0 ");
        macros += &format!(
            "#define brama_{name}_init(s) (*(s) = (brama_{name}_t)BRAMA_{}_INIT)\n",
            name.to_uppercase()
        );
    }
    let end = header.rfind("#endif").expect("a guard");
    header.insert_str(end, &macros);
    header
}

/// Builds the library of the copy. Returns the folder where programs find it.
fn build() -> PathBuf {
    let tree = place().join("tree");
    copy(&root().join("src"), &tree.join("src"));
    copy(&root().join("bindings/c/src"), &tree.join("bindings/c/src"));
    for file in [
        "build.rs",
        "Cargo.lock",
        "bindings/c/build.rs",
        "bindings/c/Cargo.toml",
    ] {
        put(
            &tree.join(file),
            &fs::read(root().join(file)).expect("it exists"),
        );
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("it exists");
    let members = workspace
        .lines()
        .find(|line| line.starts_with("members = "))
        .expect("a line of members");
    put(
        &tree.join("Cargo.toml"),
        workspace
            .replace(members, r#"members = ["bindings/c"]"#)
            .as_bytes(),
    );
    put(&tree.join("include/brama.h"), header().as_bytes());
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "-p", "brama-capi"]);
    run(cargo
        .env("CARGO_TARGET_DIR", place().join("target"))
        .current_dir(&tree));
    let folder = place().join("target/debug");
    let link = folder.join(soname());
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(folder.join("libbrama.so"), &link).expect("a link can be made");
    folder
}

#[test]
fn programs_and_libraries_of_different_ages_work_together() {
    let grown = build();
    let source = programs("c").join("grown/program.c");
    for compiler in Compiler::all(Language::C) {
        for is_newer in [false, true] {
            let program =
                place().join(format!("{}-{is_newer}", compiler.command.replace('/', "_")));
            let mut call = Command::new(&compiler.command);
            call.args([
                "-std=c99",
                "-pedantic-errors",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-g",
            ]);
            match is_newer {
                true => call
                    .arg("-DGROWN")
                    .arg("-I")
                    .arg(place().join("tree/include")),
                false => call.arg("-I").arg(root().join("include")),
            };
            call.arg("-o").arg(&program).arg(&source);
            run(call
                .arg("-L")
                .arg(&library().folder)
                .args(["-lbrama", "-pthread"]));
            for (folder, age) in [(&library().folder, "today's"), (&grown, "grown")] {
                run(Command::new(&program)
                    .arg(age)
                    .env("LD_LIBRARY_PATH", folder));
            }
        }
    }
}
