//! Tests `bindings/cpp/brama.hpp` with the programs in `tests/cpp`. Every C++ compiler of this
//! machine builds them with all warnings as errors. Each is linked with the shared and with the
//! static library, and run.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each program uses its part")]
#[path = "ffi/tools.rs"]
mod tools;

use std::fs;
use std::process::Command;

use tools::{
    Compiler, Language, Linkage, programs, root, run, sanitized_library, scratch, sources, start,
    start_with,
};

/// Without optimisation, which would take most of the time.
const SANITIZED: [&str; 3] = [
    "-O0",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
];

#[test]
fn the_headers_fit_a_screen() {
    for (path, columns) in [("bindings/cpp/brama.hpp", 99), ("include/brama.h", 100)] {
        let header = fs::read_to_string(root().join(path)).expect("it exists");
        let wide = header.lines().find(|line| line.len() > columns);
        assert_eq!(wide, None, "{path}");
    }
}

#[test]
fn programs_do_what_they_say() {
    for compiler in Compiler::all(Language::Cpp) {
        for source in sources("cpp", "cpp") {
            let object = compiler.object(&source);
            for linkage in [Linkage::Shared, Linkage::Static] {
                start(&compiler.program(&object, linkage, &[]));
            }
        }
    }
}

/// The sanitizers check both the program and the library. They also find leaks.
#[test]
fn programs_are_clean_under_the_sanitizers() {
    let compiler = &Compiler::all(Language::Cpp)[0];
    for source in sources("cpp", "cpp") {
        let program = compiler.program(&source, Linkage::Sanitized, &SANITIZED);
        start_with(&program, sanitized_library());
    }
}

#[test]
fn the_header_is_clean_by_itself() {
    let header = root().join("bindings/cpp/brama.hpp");
    for compiler in Compiler::all(Language::Cpp) {
        for standard in ["-std=c++17", "-std=c++20"] {
            for exceptions in ["-fexceptions", "-fno-exceptions"] {
                let mut call = compiler.call();
                call.args([
                    standard,
                    exceptions,
                    "-Wold-style-cast",
                    "-Wsign-conversion",
                ]);
                run(call.args(["-fsyntax-only", "-x", "c++"]).arg(&header));
            }
        }
    }
}

/// One error that says what to do, not a hundred from inside the header.
#[test]
fn an_older_standard_is_refused_in_one_sentence() {
    let header = root().join("bindings/cpp/brama.hpp");
    for compiler in Compiler::all(Language::Cpp) {
        let mut call = Command::new(&compiler.command);
        call.args(["-std=c++14", "-fsyntax-only", "-x", "c++", "-I"]);
        let output = call.arg(root().join("include")).arg(&header).output();
        let output = output.expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(said.contains("compile with -std=c++17 or newer"), "{said}");
    }
}

#[test]
fn several_translation_units_use_the_header() {
    let other = programs("cpp").join("units/other.cpp");
    for compiler in Compiler::all(Language::Cpp) {
        let main = programs("cpp").join("units/main.cpp");
        let other = other.to_str().expect("UTF-8");
        start(&compiler.program_of(&main, Linkage::Shared, &[other], "units"));
    }
}

#[test]
fn the_try_forms_need_no_exceptions() {
    let main = programs("cpp").join("no_exceptions/main.cpp");
    for compiler in Compiler::all(Language::Cpp) {
        let flags = ["-fno-exceptions"];
        start(&compiler.program_of(&main, Linkage::Static, &flags, "no-exceptions"));
    }
}

/// The examples of the README and of the header's introduction.
#[test]
fn examples_compile_and_run() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it exists");
    let from_readme = readme
        .split_once("```cpp\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .expect("the README has an example in C++")
        .0
        .to_owned();
    let header = root().join("bindings/cpp/brama.hpp");
    let header = fs::read_to_string(header).expect("it exists");
    let from_header: String = header
        .lines()
        .skip_while(|line| !line.contains("#include <brama.hpp>"))
        .take_while(|line| !line.starts_with(" * Build"))
        .map(|line| line.strip_prefix(" *     ").unwrap_or_default().to_owned() + "\n")
        .collect();
    let folder = scratch("cpp-examples");
    for (name, example) in [("readme.cpp", from_readme), ("header.cpp", from_header)] {
        let source = folder.join(name);
        fs::write(&source, example).expect("it can be written");
        for compiler in Compiler::all(Language::Cpp) {
            start(&compiler.program_of(&source, Linkage::Shared, &[], "cpp-examples"));
        }
    }
}
