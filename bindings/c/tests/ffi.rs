//! Tests the C ABI with the programs in `tests/c`. Every C compiler of this machine builds them
//! with all warnings as errors. Each is linked with the shared and with the static library, and
//! run. `tests/cpp.rs` does the same in C++.
#![cfg(target_os = "linux")]

#[path = "ffi/layout.rs"]
mod layout;
#[allow(dead_code, reason = "each program uses its part")]
#[path = "ffi/tools.rs"]
mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tools::{
    Compiler, Language, Linkage, functions, library, programs, root, run, sanitized_library,
    sources, start, start_with,
};

#[test]
fn c_programs_do_what_they_say() {
    for compiler in Compiler::all(Language::C) {
        for linkage in [Linkage::Shared, Linkage::Static] {
            for source in sources("c", "c") {
                start(&compiler.program(&source, linkage, &[]));
            }
        }
    }
}

/// Without a sanitizer, which needs more memory than these programs allow themselves.
#[test]
fn programs_at_the_limits_of_the_system_get_what_is_documented() {
    for compiler in Compiler::all(Language::C) {
        for source in sources("c/system", "c") {
            start(&compiler.program(&source, Linkage::Shared, &[]));
        }
    }
}

/// The sanitizers check both the program and the library. They also find leaks.
#[test]
fn c_programs_are_clean_under_the_sanitizers() {
    let compiler = &Compiler::all(Language::C)[0];
    let flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    for source in sources("c", "c") {
        // In the child of a fork the lock of the sanitizer's allocator may never be released, if
        // another thread was allocating when the process forked.
        if source.file_stem().is_some_and(|name| name == "fork") {
            continue;
        }
        let program = compiler.program(&source, Linkage::Sanitized, &flags);
        start_with(&program, sanitized_library());
    }
}

#[test]
fn the_header_is_clean_by_itself() {
    let header = root().join("include/brama.h");
    for compiler in Compiler::all(Language::C) {
        for standard in ["-std=c99", "-std=c11", "-std=c17"] {
            let mut call = compiler.call();
            call.args([
                standard,
                "-Wc++-compat",
                "-Wstrict-prototypes",
                "-Wconversion",
            ]);
            run(call.args(["-fsyntax-only", "-x", "c"]).arg(&header));
        }
    }
    for compiler in Compiler::all(Language::Cpp) {
        let mut call = compiler.call();
        call.args(["-Wold-style-cast", "-Wconversion"]);
        run(call.args(["-fsyntax-only", "-x", "c++"]).arg(&header));
    }
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let mut nm = Command::new("nm");
    let output = run(nm.args(["-D", "--defined-only"]).arg(&library().shared));
    let exported: BTreeSet<_> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .filter_map(|line| line.split_whitespace().last().map(str::to_owned))
        .collect();
    let declared: BTreeSet<_> = functions().into_iter().collect();
    assert!(declared.len() > 60, "{declared:?}");
    let undeclared: Vec<_> = exported.difference(&declared).collect();
    let missing: Vec<_> = declared.difference(&exported).collect();
    assert!(
        undeclared.is_empty(),
        "exported but not in the header: {undeclared:?}"
    );
    assert!(
        missing.is_empty(),
        "in the header but not exported: {missing:?}"
    );
}

#[test]
fn the_shared_library_says_which_interface_it_has() {
    let mut readelf = Command::new("readelf");
    let output = run(readelf.args(["-d", "-W"]).arg(&library().shared));
    let dynamic = String::from_utf8(output.stdout).expect("UTF-8");
    let soname = format!("Library soname: [{}]", tools::soname());
    assert!(dynamic.contains(&soname), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn bad_input_is_tried_on_every_function() {
    let read = |name| fs::read_to_string(programs("c").join(name)).expect("it exists");
    let program = read("bad_input.c") + &read("check.h");
    for function in functions() {
        let called = program.contains(&format!("{function}("));
        assert!(called, "tests/c/bad_input.c does not call {function}");
    }
}

/// The examples of the README and of the header's introduction.
#[test]
fn examples_compile_and_run() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it exists");
    let from_readme = readme
        .split_once("```c\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .expect("the README has an example in C")
        .0
        .to_owned();
    let header = fs::read_to_string(root().join("include/brama.h")).expect("it exists");
    let from_header: String = header
        .lines()
        .skip_while(|line| !line.contains("#include <brama.h>"))
        .take_while(|line| !line.starts_with(" * Build"))
        .map(|line| line.strip_prefix(" *     ").unwrap_or_default().to_owned() + "\n")
        .collect();
    let folder = tools::scratch("examples");
    for (name, example) in [("readme.c", from_readme), ("header.c", from_header)] {
        let source = folder.join(name);
        fs::write(&source, example).expect("it can be written");
        for compiler in Compiler::all(Language::C) {
            start(&compiler.program(&source, Linkage::Shared, &[]));
        }
    }
}
