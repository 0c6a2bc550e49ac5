//! The crate as a Rust program gets it: the files in the package, the crates that a program
//! with this dependency compiles, and the symbols that the program's own library exports.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs a command that has to succeed. Returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn cargo() -> Command {
    Command::new(env!("CARGO"))
}

/// The targets of the links in a markdown text, without links to other sites.
fn links(text: &str) -> Vec<&str> {
    // Every second part of the split text is a block of code.
    let prose = text.split("```").step_by(2);
    let inline = prose.clone().flat_map(|part| part.split("](").skip(1));
    let inline = inline.filter_map(|rest| Some(rest.split_once(')')?.0));
    let lines = prose.flat_map(str::lines);
    let defined = lines.filter_map(|line| Some(line.strip_prefix('[')?.split_once("]: ")?.1));
    let all = inline.chain(defined);
    all.filter(|link| !link.contains("://") && !link.starts_with('#'))
        .collect()
}

#[test]
fn every_file_that_the_readme_and_the_chapters_link_to_is_in_the_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = run(cargo()
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .current_dir(root));
    let packaged: BTreeSet<_> = list.lines().collect();
    let read = |file: &str| fs::read_to_string(root.join(file)).expect("it exists");
    let readme = read("README.md");
    assert!(links(&readme).iter().any(|link| link.ends_with(".svg")));
    let chapters = packaged.iter().filter_map(|file| {
        let name = file.strip_prefix("src/docs/")?;
        (name.ends_with(".md") && !name.contains('/')).then(|| ("src/docs/", read(file)))
    });
    let pages: Vec<_> = chapters.chain([("", readme)]).collect();
    assert!(pages.len() > 9, "{packaged:?}");
    for (folder, page) in &pages {
        for link in links(page) {
            let file = link.split('#').next().expect("a path");
            let file = format!("{folder}{file}");
            assert!(packaged.contains(&*file), "the package lacks {file}");
        }
    }
}

/// The program is a shared library that depends on the crate.
#[test]
fn a_program_compiles_few_crates_and_exports_no_function_of_the_library() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("program");
    fs::create_dir_all(folder.join("src")).expect("a folder can be made");
    let manifest = format!(
        "[package]\nname = \"program\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\nbrama = {{ path = {:?} }}\n",
        env!("CARGO_MANIFEST_DIR")
    );
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn healthy() -> bool {\n    \
                  brama::default().available(\"database\")\n}\n";
    fs::write(folder.join("Cargo.toml"), manifest).expect("it can be written");
    fs::write(folder.join("src/lib.rs"), source).expect("it can be written");

    let mut tree = cargo();
    tree.args(["tree", "--offline", "--prefix=none", "--edges=normal,build"]);
    let tree = run(tree.current_dir(&folder));
    let crates: BTreeSet<_> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .collect();
    assert!(crates.len() <= 9, "{crates:?}");

    let target = folder.join("target");
    let mut build = cargo();
    build.args(["build", "--offline"]).current_dir(&folder);
    run(build.env("CARGO_TARGET_DIR", &target));
    let mut nm = Command::new("nm");
    let library = target.join("debug/libprogram.so");
    let symbols = run(nm.args(["-D", "--defined-only"]).arg(library));
    let exported: Vec<_> = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(exported, ["healthy"]);
}
