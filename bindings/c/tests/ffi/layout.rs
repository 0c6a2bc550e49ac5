//! Pins the binary layout of the interface: the offset and the size of each field of each struct,
//! and the value of each constant, as a C compiler sees the header. The test compares them with
//! `tests/c/layout.txt`. Within one version of the interface that file may only get more lines.
//! `BRAMA_BLESS=1` rewrites it.
#![cfg(target_pointer_width = "64")]

use std::fmt::Write;
use std::fs;
use std::process::Command;

use super::tools::{Compiler, Language, Linkage, header, programs, run, scratch};

/// The text of a C program that prints the layout.
fn program() -> String {
    // Macros of several lines become one line: they are no numbers.
    let header = header().replace("\\\n", " ");
    let mut body = String::new();
    let mut current = None;
    for line in header.lines().map(str::trim) {
        let words: Vec<_> = line
            .trim_end_matches(['{', ';'])
            .split_whitespace()
            .collect();
        match (&words[..], current) {
            (["typedef", "struct", name], None) if line.ends_with('{') => {
                let _ = writeln!(body, "STRUCT({name});");
                current = Some((*name).to_owned());
                continue;
            }
            // Macros that have no value.
            (["#define", "BRAMA_API" | "BRAMA_MUST_USE", ..], _) => current = None,
            (["#define", name, ..], _) if name.ends_with("_INIT") => current = None,
            (["#define", name, _, ..], None) if !name.contains('(') => {
                let kind = match *name {
                    "BRAMA_VERSION_STRING" | "BRAMA_NO_SCOPE" => "TEXT",
                    name if name.ends_with("_F64") => "REAL",
                    _ => "NUMBER",
                };
                let _ = writeln!(body, "{kind}({name});");
                current = None;
                continue;
            }
            (["}", ..], Some(_)) => current = None,
            ([.., field], Some(name)) => {
                let field = field.trim_start_matches('*');
                let field = field.split('[').next().unwrap_or(field);
                let _ = writeln!(body, "FIELD({name}, {field});");
                current = Some(name);
                continue;
            }
            (_, open) => current = open,
        }
    }
    format!(
        r#"#include <brama.h>
#include <stdio.h>
#define STRUCT(type) printf("%s: size %zu\n", #type, sizeof(type))
#define FIELD(type, field) \
    printf("    %-24s at %3zu, size %zu\n", #field, offsetof(type, field), sizeof(((type *)0)->field))
#define NUMBER(name) printf("%s = %lld, size %zu\n", #name, (long long)(name), sizeof(name))
#define REAL(name) printf("%s = %.17g, size %zu\n", #name, name, sizeof(name))
#define TEXT(name) printf("%s = \"%s\"\n", #name, name)
int main(void) {{
{body}
    return 0;
}}
"#
    )
}

#[test]
fn the_layout_is_what_it_was() {
    let source = scratch("layout").join("layout.c");
    fs::write(&source, program()).expect("it can be written");
    let record = programs("c").join("layout.txt");
    for compiler in Compiler::all(Language::C) {
        let program = compiler.program(&source, Linkage::Static, &[]);
        let output = run(&mut Command::new(program));
        let found = String::from_utf8(output.stdout).expect("UTF-8");
        if std::env::var_os("BRAMA_BLESS").is_some() {
            fs::write(&record, &found).expect("it can be written");
        }
        let pinned = fs::read_to_string(&record).expect("tests/c/layout.txt exists");
        let first = found
            .lines()
            .zip(pinned.lines())
            .find(|(now, then)| now != then);
        assert!(
            found == pinned,
            "the layout is not that of tests/c/layout.txt, from {first:?} on: programs that \
             were built with this version of the interface would break. If it may change, \
             `BRAMA_BLESS=1 cargo test -p brama-capi --test ffi` and commit what changed."
        );
    }
}
