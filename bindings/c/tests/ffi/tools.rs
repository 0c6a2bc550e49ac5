//! Tools of the tests of the C ABI: the built library, the compilers, and folders for programs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The root of the workspace.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("it is in bindings/c")
}

/// A folder of programs that the tests build.
pub fn programs(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder)
}

/// The shared and the static library, and a folder where linkers and programs find the shared one.
pub struct Library {
    pub shared: PathBuf,
    pub archive: PathBuf,
    /// Has links to the shared library: `libbrama.so` and the SONAME.
    pub folder: PathBuf,
}

/// The library, built from the current source. One that the target folder has may be older.
pub fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| build(&mut Command::new(env!("CARGO")), "lib"))
}

/// The library with AddressSanitizer in the Rust code. The program must bring the runtime of the
/// sanitizer, since a shared library has none.
pub fn sanitized_library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // With this variable a stable compiler accepts the flag, too.
        cargo.env("RUSTC_BOOTSTRAP", "1");
        cargo.env("RUSTFLAGS", "-Zsanitizer=address");
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo.env("CARGO_TARGET_DIR", scratch("sanitized-target"));
        // With a named target the flag does not apply to build scripts and procedural macros.
        cargo.env("CARGO_BUILD_TARGET", host());
        build(&mut cargo, "sanitized-lib")
    })
}

/// The target for which the compiler compiles by default.
fn host() -> String {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = run(rustc.arg("-vV").current_dir(root()));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

fn build(cargo: &mut Command, folder: &str) -> Library {
    cargo.args(["build", "-p", "brama-capi", "--message-format=json"]);
    // .ci/run sets a profile that is optimised and has all assertions.
    let profile = env::var("BRAMA_PROFILE").ok();
    let own = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    cargo.args(["--profile", profile.as_deref().unwrap_or(own)]);
    let output = run(cargo.current_dir(root()));
    let messages = String::from_utf8(output.stdout).expect("UTF-8");
    let find = |name: &str| {
        let ends = format!("/{name}");
        let found = messages.split('"').rfind(|word| word.ends_with(&ends));
        PathBuf::from(found.unwrap_or_else(|| panic!("cargo builds {name}")))
    };
    let (shared, archive) = (find("libbrama.so"), find("libbrama.a"));
    let folder = scratch(folder);
    for name in ["libbrama.so".to_owned(), soname()] {
        let link = folder.join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&shared, &link).expect("a link can be made");
    }
    Library {
        shared,
        archive,
        folder,
    }
}

/// The name under which programs look for the library.
pub fn soname() -> String {
    match env!("CARGO_PKG_VERSION_MAJOR") {
        "0" => format!("libbrama.so.0.{}", env!("CARGO_PKG_VERSION_MINOR")),
        major => format!("libbrama.so.{major}"),
    }
}

/// A folder of this name for what a test makes.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("ffi")
        .join(name);
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// Runs a command that has to succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    C,
    Cpp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    Shared,
    Static,
    /// With the shared library of [`sanitized_library`].
    Sanitized,
}

impl Linkage {
    pub fn library(self) -> &'static Library {
        match self {
            Linkage::Shared | Linkage::Static => library(),
            Linkage::Sanitized => sanitized_library(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Compiler {
    pub command: String,
    language: Language,
}

impl Compiler {
    /// Every compiler of the language that this machine has. Panics if there is none.
    pub fn all(language: Language) -> Vec<Compiler> {
        let (variable, usual, any) = match language {
            Language::C => ("CC", ["gcc", "clang"], "cc"),
            Language::Cpp => ("CXX", ["g++", "clang++"], "c++"),
        };
        let works = |command: &String| {
            let version = Command::new(command).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let mut found: Vec<_> = env::var(variable).into_iter().collect();
        found.extend(usual.map(str::to_owned));
        found.dedup();
        found.retain(works);
        if found.is_empty() {
            found.extend([any.to_owned()].into_iter().filter(works));
        }
        assert!(
            !found.is_empty(),
            "no compiler for {language:?}: install gcc or clang, or set ${variable}"
        );
        let of = |command| Compiler { command, language };
        found.into_iter().map(of).collect()
    }

    /// A command of this compiler with all warnings as errors.
    pub fn call(&self) -> Command {
        let mut call = Command::new(&self.command);
        match self.language {
            Language::C => call.args(["-std=c99", "-pedantic-errors"]),
            Language::Cpp => call.args(["-std=c++17", "-Wpedantic", "-Wshadow", "-Wconversion"]),
        };
        call.args([
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Wundef",
            "-Werror",
            "-g",
            "-O1",
        ]);
        call.arg("-I").arg(root().join("include"));
        if self.language == Language::Cpp {
            call.arg("-I").arg(root().join("bindings/cpp"));
        }
        call
    }

    /// Compiles a source without linking it.
    pub fn object(&self, source: &Path) -> PathBuf {
        let folder = scratch(&format!("{}-objects", self.command.replace('/', "_")));
        let name = source.file_stem().expect("a file");
        let object = folder.join(name).with_extension("o");
        run(self.call().arg("-c").arg("-o").arg(&object).arg(source));
        object
    }

    /// Compiles a program, if it is not an object, and links it with the library.
    pub fn program(&self, source: &Path, linkage: Linkage, extra: &[&str]) -> PathBuf {
        self.program_of(source, linkage, extra, &extra.concat())
    }

    /// [`program`](Self::program), with `of` in the name of the program's folder.
    pub fn program_of(&self, source: &Path, linkage: Linkage, extra: &[&str], of: &str) -> PathBuf {
        let library = linkage.library();
        let kind = format!("{}-{linkage:?}{of}", self.command.replace('/', "_"));
        let program = scratch(&kind).join(source.file_stem().expect("a file"));
        let mut call = self.call();
        call.args(extra).arg("-o").arg(&program).arg(source);
        match linkage {
            Linkage::Shared | Linkage::Sanitized => {
                call.arg("-L").arg(&library.folder).arg("-lbrama")
            }
            Linkage::Static => call.arg(&library.archive).args(["-ldl", "-lm"]),
        };
        run(call.arg("-pthread"));
        program
    }
}

/// Runs a program with the shared library.
pub fn start(program: &Path) {
    start_with(program, library());
}

/// Runs a program with this shared library.
pub fn start_with(program: &Path, library: &Library) {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", &library.folder);
    run(&mut command);
}

/// The sources in a folder of programs.
pub fn sources(folder: &str, ending: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(programs(folder)).expect("it exists");
    let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.sort();
    assert!(!files.is_empty(), "tests/{folder} has programs");
    files
}

/// The header, without its comments.
pub fn header() -> String {
    let path = root().join("include/brama.h");
    let mut rest = &*fs::read_to_string(path).expect("include/brama.h exists");
    let mut code = String::new();
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").expect("comments end").1;
    }
    code + rest
}

/// The functions that the header declares.
pub fn functions() -> Vec<String> {
    let header = header();
    let mut names: Vec<_> = header
        .split('(')
        .filter_map(|before| {
            let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')? + 1;
            let name = &before[start..];
            name.starts_with("brama_").then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names
}
