//! What `make -C bindings/c install` installs, as programs elsewhere find it: through
//! pkg-config and CMake, shared and static, moved to another place, and taken away again.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "each program uses its part")]
#[path = "ffi/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use tools::{Compiler, Language, programs, root, run};

/// A tool, or which package has it.
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

/// Runs a goal of the Makefile; one at a time, as they build in one place.
fn make(arguments: &[String]) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut make = tool("make");
    make.arg("-C")
        .arg(root().join("bindings/c"))
        .args(arguments);
    run(make.env("CARGO", env!("CARGO")));
}

/// Where it is installed, for all tests.
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

/// Runs a program that must say that it works.
fn works(program: &Path, libraries: Option<&Path>) {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    assert_eq!(run(&mut command).stdout, b"works\n", "{program:?}");
}

/// The sources of the programs that use it.
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

/// A distribution's folders: deeper, or not below the prefix.
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

/// The commands of the README, and the line in the example's header, word for word but
/// for the prefix.
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
