//! Tests the files that `make -C bindings/c install` installs. Other programs find them through
//! pkg-config, CMake and meson, as shared and static libraries, even in a prefix that was moved.
//! `uninstall` removes them again.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each program uses its part")]
#[path = "ffi/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use tools::{Compiler, Language, programs, root, run};

/// A command of a tool. Panics with the name of the package to install if it is missing.
fn tool(name: &str) -> Command {
    let found = Command::new(name).arg("--version").output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "{name} is missing: `apt-get install {name}`"
    );
    Command::new(name)
}

/// An empty folder of this name.
fn emptied(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("install")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// Does the work of one test at a time: all tests build in one folder.
fn alone<T>(work: impl FnOnce() -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// A call of make for a goal of the Makefile.
fn goal(arguments: &[String]) -> Command {
    let mut make = tool("make");
    make.arg("-C")
        .arg(root().join("bindings/c"))
        .args(arguments)
        .env("CARGO", env!("CARGO"))
        // It would be the folder of the tests.
        .env_remove("CARGO_TARGET_DIR");
    make
}

fn make(arguments: &[String]) {
    alone(|| run(&mut goal(arguments)));
}

/// The prefix of the installation that the tests share.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = emptied("prefix");
        make(&["install".to_owned(), format!("PREFIX={}", prefix.display())]);
        prefix
    })
}

fn pkg_config(prefix: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = tool("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    let output = run(command.args(arguments).arg("brama"));
    let words = String::from_utf8(output.stdout).expect("UTF-8");
    words.split_whitespace().map(str::to_owned).collect()
}

/// Runs a program that must print that it works.
fn works(program: &Path, libraries: Option<&Path>) {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    assert_eq!(run(&mut command).stdout, b"works\n", "{program:?}");
}

/// The source file of this name among the programs that use the installed library.
fn source(name: &str) -> PathBuf {
    programs("install").join(name)
}

fn through_pkg_config(prefix: &Path, compiler: &Compiler, language: Language, folder: &Path) {
    let (name, standard) = match language {
        Language::C => ("program.c", "-std=c99"),
        Language::Cpp => ("program.cpp", "-std=c++17"),
    };
    let compile = |program: &Path, flags: &[String], extra: &[&str]| {
        let mut call = Command::new(&compiler.command);
        call.args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"]);
        run(call.arg(program).arg(source(name)).args(flags).args(extra));
    };
    let program = folder.join(format!("{name}.shared"));
    compile(&program, &pkg_config(prefix, &["--cflags", "--libs"]), &[]);
    works(&program, Some(&prefix.join("lib")));

    let program = folder.join(format!("{name}.static"));
    let flags = pkg_config(prefix, &["--static", "--cflags", "--libs"]);
    compile(&program, &flags, &["-static"]);
    works(&program, None);

    let mut archive = tool("pkg-config");
    archive.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    let output = run(archive.args(["--cflags", "--libs", "brama-static"]));
    let words = String::from_utf8(output.stdout).expect("UTF-8");
    let flags: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
    let program = folder.join(format!("{name}.archive"));
    compile(&program, &flags, &[]);
    works(&program, None);
}

#[test]
fn programs_are_built_through_pkg_config() {
    for language in [Language::C, Language::Cpp] {
        for compiler in Compiler::all(language) {
            let folder = emptied(&format!(
                "pkg-config-{}",
                compiler.command.replace('/', "_")
            ));
            through_pkg_config(prefix(), &compiler, language, &folder);
        }
    }
    assert_eq!(
        pkg_config(prefix(), &["--modversion"]),
        [env!("CARGO_PKG_VERSION")]
    );
}

fn configure(build: &Path, setting: &str) -> Command {
    let mut cmake = tool("cmake");
    cmake.arg("-S").arg(programs("install"));
    cmake.arg("-B").arg(build).arg(setting);
    cmake
}

#[test]
fn programs_are_built_with_cmake() {
    let build = emptied("cmake");
    let place = format!("-DCMAKE_PREFIX_PATH={}", prefix().display());
    run(&mut configure(&build, &place));
    run(tool("cmake").arg("--build").arg(&build));
    for program in ["c_shared", "c_static", "cpp_shared", "cpp_static"] {
        works(&build.join(program), None);
    }
    for (version, serves) in [
        ("0", true),
        ("0.1.0", true),
        ("0.1.99", false),
        ("0.0", false),
        ("7", false),
    ] {
        let mut asking = configure(&emptied("cmake-versions"), &place);
        let output = asking.arg(format!("-DWANTED={version}")).output();
        let configured = output.expect("cmake is there").status.success();
        assert_eq!(configured, serves, "find_package(brama {version})");
    }
}

#[test]
fn programs_are_built_with_meson() {
    let folder = emptied("meson");
    for file in ["program.c", "program.cpp", "meson/meson.build"] {
        let to = folder.join(Path::new(file).file_name().expect("a name"));
        fs::copy(source(file), to).expect("it can be copied");
    }
    tool("ninja");
    let build = folder.join("build");
    let mut meson = tool("meson");
    meson.arg("setup").arg(&build).arg(&folder);
    run(meson.env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig")));
    run(tool("meson").arg("compile").arg("-C").arg(&build));
    for program in ["c_shared", "cpp_shared"] {
        works(&build.join(program), Some(&prefix().join("lib")));
    }
    works(&build.join("c_static"), None);
}

/// Through `add_subdirectory`, and through `FetchContent` without a network.
#[test]
fn programs_are_built_with_brama_in_their_own_tree() {
    prefix();
    for fetched in [false, true] {
        let build = emptied(&format!("subdirectory-{fetched}"));
        let mut cmake = tool("cmake");
        cmake
            .arg("-S")
            .arg(source("subdirectory"))
            .arg("-B")
            .arg(&build);
        cmake.arg(format!("-DBRAMA={}", root().display()));
        cmake.arg(format!("-DFETCHED={fetched}"));
        cmake.arg(format!(
            "-DFETCHCONTENT_SOURCE_DIR_BRAMA={}",
            root().display()
        ));
        // The folder of make, which builds with the same flags.
        let target = root().join("target/make");
        run(cmake.arg(format!("-DBRAMA_CARGO_TARGET_DIR={}", target.display())));
        alone(|| run(tool("cmake").arg("--build").arg(&build)));
        for program in ["c_shared", "c_static", "cpp_shared"] {
            works(&build.join(program), None);
        }
    }
}

/// The library under its three names, as packages and the loader expect them.
#[test]
fn the_library_has_its_names() {
    let lib = prefix().join("lib");
    let real = format!("libbrama.so.{}", env!("CARGO_PKG_VERSION"));
    assert!(
        fs::symlink_metadata(lib.join(&real))
            .expect("installed")
            .is_file()
    );
    let link = |name: &str| fs::read_link(lib.join(name)).expect("a link");
    assert_eq!(link(&tools::soname()), Path::new(&real));
    assert_eq!(link("libbrama.so"), Path::new(&tools::soname()));
}

/// The chapters that the headers cite.
#[test]
fn the_chapters_that_the_header_cites_are_installed() {
    let header = fs::read_to_string(prefix().join("include/brama.h")).expect("installed");
    let cited = header
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.ends_with(".md"));
    let missing: Vec<_> = cited
        .filter(|name| !prefix().join("share/doc/brama").join(name).is_file())
        .collect();
    assert!(header.contains("share/doc/brama") && header.contains("rules.md"));
    assert_eq!(missing, [""; 0]);
}

/// `install` prints what a program needs to be built and to run.
#[test]
fn install_prints_how_to_build_a_program() {
    prefix();
    let place = emptied("printed");
    let mut install = goal(&["install".into(), format!("PREFIX={}", place.display())]);
    let output = alone(|| run(&mut install));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let lib = place.join("lib").display().to_string();
    assert!(
        printed.contains(&format!("PKG_CONFIG_PATH=\"{lib}/pkgconfig\"")),
        "{printed}"
    );
    assert!(
        printed.contains(&format!("-Wl,-rpath,{lib}\"")),
        "{printed}"
    );
}

#[test]
fn what_is_installed_may_be_moved() {
    let stage = emptied("stage");
    make(&[
        "install".to_owned(),
        "PREFIX=/opt/brama".to_owned(),
        format!("DESTDIR={}", stage.display()),
    ]);
    let moved = emptied("moved").join("elsewhere");
    fs::rename(stage.join("opt/brama"), &moved).expect("it can be moved");
    let compiler = &Compiler::all(Language::C)[0];
    through_pkg_config(&moved, compiler, Language::C, &emptied("moved-programs"));
}

/// A user without cargo, such as root, can install the library once it is built. A user who does
/// not own the source builds nothing.
#[test]
fn installing_needs_no_cargo_once_it_is_built() {
    prefix();
    let place = emptied("without-cargo");
    let mut install = goal(&["install".into(), format!("PREFIX={}", place.display())]);
    alone(|| {
        run(install
            .env("CARGO", "/nowhere/cargo")
            .env("RUSTC", "/nowhere/rustc"))
    });
    assert!(place.join("lib/libbrama.a").is_file());

    // A source that another user owns, and that has not been built.
    let other = emptied("other-user");
    for folder in ["src", "bindings/c/src"] {
        fs::create_dir_all(other.join(folder)).expect("a folder can be made");
    }
    for file in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "bindings/c/build.rs",
    ] {
        fs::write(other.join(file), "").expect("it can be written");
    }
    for file in ["bindings/c/Makefile", "bindings/c/Cargo.toml"] {
        fs::copy(root().join(file), other.join(file)).expect("it can be copied");
    }
    let owner = fs::metadata(other.join("Cargo.toml")).expect("there");
    let shown = std::os::unix::fs::MetadataExt::uid(&owner) + 1;
    let tools = other.join("tools");
    fs::create_dir_all(&tools).expect("a folder can be made");
    let id = tools.join("id");
    fs::write(&id, format!("#!/bin/sh\necho {shown}\n")).expect("it can be written");
    run(Command::new("chmod").arg("755").arg(&id));
    let path = std::env::var("PATH").expect("it is set");
    let mut make = tool("make");
    make.arg("-C").arg(other.join("bindings/c"));
    make.env("PATH", format!("{}:{path}", tools.display()));
    let output = make.arg("install").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("as the user who owns the source"), "{said}");
}

/// The prefix has a space in its name, and is relative to the folder that make runs in.
#[test]
fn a_prefix_may_be_relative_and_have_spaces() {
    let place = emptied("has spaces");
    let from = root().join("bindings/c");
    let up: PathBuf = from.ancestors().skip(1).map(|_| "..").collect();
    let relative = up.join(place.strip_prefix("/").expect("absolute"));
    make(&["install".into(), format!("PREFIX={}", relative.display())]);
    let mut shell = Command::new("sh");
    shell.env("PKG_CONFIG_PATH", place.join("lib/pkgconfig"));
    shell.env("SOURCE", source("program.c")).current_dir(&place);
    let build = "eval cc \"\\\"$SOURCE\\\"\" $(pkg-config --cflags --libs brama) -o shared && \
                 eval cc \"\\\"$SOURCE\\\"\" $(pkg-config --cflags --libs brama-static) -o static";
    run(shell.args(["-e", "-c", build]));
    works(&place.join("shared"), Some(&place.join("lib")));
    works(&place.join("static"), None);
    let build = emptied("has spaces build");
    run(&mut configure(
        &build,
        &format!("-DCMAKE_PREFIX_PATH={}", place.display()),
    ));
    run(tool("cmake").arg("--build").arg(&build));
    works(&build.join("c_shared"), None);
    make(&["uninstall".into(), format!("PREFIX={}", relative.display())]);
    assert!(!place.join("include/brama.h").exists() && !place.join("lib/libbrama.so").exists());
}

/// pkg-config leaves out the folders that compilers search anyway.
#[test]
fn in_a_prefix_of_the_system_pkg_config_filters_its_flags() {
    let stage = emptied("system");
    make(&[
        "install".into(),
        "PREFIX=/usr".into(),
        format!("DESTDIR={}", stage.display()),
    ]);
    let ask = |what: &str, package: &str| {
        let mut command = tool("pkg-config");
        command.env("PKG_CONFIG_PATH", stage.join("usr/lib/pkgconfig"));
        let output = run(command.args([what, package]));
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    };
    assert_eq!(ask("--cflags", "brama"), "");
    assert_eq!(ask("--libs", "brama"), "-lbrama");
    assert!(ask("--libs", "brama-static").starts_with("/usr/lib/libbrama.a -l"));
}

/// Neither the folder of the source nor that of cargo.
#[test]
fn no_path_of_this_machine_is_in_the_libraries() {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME"));
    let home = home.expect("one of them is set");
    for name in ["libbrama.so", "libbrama.a"] {
        let bytes = fs::read(prefix().join("lib").join(name)).expect("installed");
        for path in [root().to_str().expect("UTF-8"), &home] {
            let found = bytes
                .windows(path.len())
                .any(|part| part == path.as_bytes());
            assert!(!found, "{path} is in {name}");
        }
    }
}

/// The folders of a distribution may be deeper, or not below the prefix.
#[test]
fn folders_may_be_chosen() {
    let place = emptied("chosen");
    let (prefix, headers) = (place.join("usr"), place.join("headers"));
    let lib = prefix.join("lib/some-machine");
    let arguments = [
        format!("PREFIX={}", prefix.display()),
        format!("LIBDIR={}", lib.display()),
        format!("INCLUDEDIR={}", headers.display()),
    ];
    let goal = |name: &str| [&[name.to_owned()], &arguments[..]].concat();
    make(&goal("install"));
    assert!(headers.join("brama.hpp").is_file() && lib.join("libbrama.a").is_file());
    let build = emptied("chosen-build");
    let package = format!("-Dbrama_DIR={}", lib.join("cmake/brama").display());
    run(&mut configure(&build, &package));
    run(tool("cmake")
        .arg("--build")
        .arg(&build)
        .args(["--target", "c_shared"]));
    works(&build.join("c_shared"), None);

    make(&goal("uninstall"));
    let left = run(tool("find").arg(&place).args(["-not", "-type", "d"]));
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

/// Runs the commands of the README with another prefix. The README has the command in the head
/// comment of `example.c` word for word.
#[test]
fn the_commands_of_the_readme_work() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it exists");
    let commands = readme
        .split("```sh\n")
        .filter_map(|after| Some(after.split_once("```")?.0))
        .find(|block| block.contains("make -C bindings/c install"))
        .expect("the README says how to install");
    let example = fs::read_to_string(root().join("bindings/c/example.c")).expect("it exists");
    let line = example
        .lines()
        .filter_map(|line| line.strip_prefix(" *     "))
        .find(|line| line.starts_with("cc "))
        .expect("the example says how to compile it");
    assert!(commands.contains(line), "the README does not say `{line}`");

    tool("pkg-config");
    let place = emptied("readme");
    std::os::unix::fs::symlink(root().join("bindings"), place.join("bindings")).expect("a link");
    let commands = commands.replace("$HOME/.local", &prefix().display().to_string());
    let mut shell = Command::new("sh");
    shell.current_dir(&place).env_remove("LD_LIBRARY_PATH");
    let output = run(shell.args(["-e", "-c", &commands]));
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    for part in [
        "payment_api is open: HTTP 503",
        "not tried, again in",
        "paid",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
