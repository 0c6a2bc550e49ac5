//! Tests the Python package as users install it: `pip` builds it from the source tree and installs
//! it into virtual environments, where its tests run.
//!
//! On the default interpreter (`$PYTHON`, or `python3`) everything runs: all tests, `mypy
//! --strict`, pyright, the reference by pdoc, the wheels, the test suites of peers. On one
//! interpreter of each other version of CPython from 3.9 on that is found (pyenv's, and `python3.N`
//! on the path) only the tests run that need no further tools: behaviour, crashes, ends of the
//! interpreter, gevent. One of all these interpreters must be CPython 3.11 or later.
//!
//! The environments are made once and kept in the target folder. Their names are hashes of the
//! interpreter and the requirements. The package is built and installed every time.
#![cfg(unix)]

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("python")
}

/// Runs a command to its end. Panics if it cannot run or fails.
fn run(command: &mut Command, purpose: &str) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{purpose}: {command:?} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{purpose}: {command:?} failed with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// An interpreter, and its minor version of CPython 3.
#[derive(Debug)]
struct Interpreter {
    program: OsString,
    minor: u32,
}

/// A Python program that prints the minor version, and fails if the package and its tests cannot
/// run on the interpreter.
const CHECK: &str = "import sys, venv, ensurepip; \
    assert sys.version_info >= (3, 9) and sys.implementation.name == 'cpython'; \
    assert getattr(sys, '_is_gil_enabled', lambda: True)(); \
    print(sys.version_info.minor)";

/// The interpreter of a program. `None` if it cannot be run, is not CPython from 3.9 on, has no
/// global interpreter lock, or lacks `venv` or `ensurepip`.
fn interpreter(program: OsString) -> Option<Interpreter> {
    let output = Command::new(&program).args(["-c", CHECK]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let minor = text.trim().parse().ok()?;
    output
        .status
        .success()
        .then_some(Interpreter { program, minor })
}

fn default_interpreter() -> Interpreter {
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    interpreter(python).unwrap_or_else(|| {
        panic!(
            "the tests of the Python package need CPython 3.9 or newer with `venv` and `pip`: \
             `$PYTHON` or `python3` is none"
        )
    })
}

/// One interpreter of each minor version other than that of the default interpreter.
fn other_interpreters() -> Vec<Interpreter> {
    let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv.map(|root| root.join("versions"));
    let mut programs: Vec<OsString> = (9..30).map(|n| format!("python3.{n}").into()).collect();
    for version in versions.iter().flat_map(fs::read_dir).flatten().flatten() {
        programs.push(version.path().join("bin/python").into());
    }
    let mut found = vec![default_interpreter()];
    for other in programs.into_iter().filter_map(interpreter) {
        if found.iter().all(|known| known.minor != other.minor) {
            found.push(other);
        }
    }
    assert!(
        found.iter().any(|known| known.minor >= 11),
        "the package has to be tested on CPython 3.11 or later; found: {found:?}"
    );
    found.split_off(1)
}

/// Makes a virtual environment of an interpreter and installs the packages of a file of
/// requirements, unless that was done before. Returns the interpreter of the environment.
fn environment(python: &Interpreter, requirements: &str) -> PathBuf {
    let tests = package().join("tests");
    let mut hasher = DefaultHasher::new();
    (&python.program, python.minor, requirements).hash(&mut hasher);
    for file in ["requirements.txt", "requirements-core.txt"] {
        fs::read(tests.join(file))
            .expect("it exists")
            .hash(&mut hasher);
    }
    let name = format!("python-{:016x}", hasher.finish());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (inside, complete) = (folder.join("bin/python"), folder.join("complete"));
    // The tests of this file run at the same time.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().expect("no other test has failed");
    if !complete.exists() {
        let mut make = Command::new(&python.program);
        let purpose = "making a virtual environment";
        run(make.args(["-m", "venv", "--clear"]).arg(&folder), purpose);
        let mut install = Command::new(&inside);
        install.args(["-m", "pip", "install", "--quiet", "-r"]);
        run(
            install.arg(tests.join(requirements)),
            "installing the test tools",
        );
        fs::write(complete, "").expect("it can be written");
    }
    inside
}

/// The target folder of this build. `pip` builds in it, so that `cargo` compiles less.
fn target() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    folder.expect("it is in the target folder").to_owned()
}

/// A command that runs an environment's interpreter outside of the source tree.
fn outside(python: &Path) -> Command {
    let folder = target().join("tmp/python-outside");
    fs::create_dir_all(&folder).expect("it can be made");
    let mut command = Command::new(python);
    command
        .current_dir(&folder)
        .env("CARGO", env!("CARGO"))
        .env("CARGO_TARGET_DIR", target())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH")
        .env_remove("BRAMA_LIBRARY")
        .env_remove("BRAMA_PREBUILT");
    command
}

fn install(python: &Path, what: &Path, more: &[&str]) {
    let mut install = outside(python);
    install.args(["-m", "pip", "install", "--quiet", "--force-reinstall"]);
    install.args(["--no-deps", "--no-index"]).args(more);
    run(install.arg(what), "building and installing the package");
}

fn pytest(python: &Path, files: &[PathBuf]) {
    let mut pytest = outside(python);
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir"]);
    pytest
        .arg(package())
        .arg("-c")
        .arg(package().join("pyproject.toml"));
    run(pytest.args(files), "the tests of the package");
}

#[test]
fn the_python_package_passes_its_tests() {
    let python = environment(&default_interpreter(), "requirements.txt");
    install(&python, &package(), &["--no-build-isolation"]);
    thread::scope(|scope| {
        scope.spawn(|| types(&python));
        pytest(&python, &[package().join("tests")]);
    });
}

/// Checks the package's own types, and the types that its user sees.
fn types(python: &Path) {
    for files in ["src/brama", "examples"] {
        let mut mypy = outside(python);
        mypy.args(["-m", "mypy", "--strict", "--cache-dir=mypy"]);
        run(mypy.arg(package().join(files)), "types");
    }
    let mut stubs = outside(python);
    stubs.args(["-m", "mypy", "--strict", "--cache-dir=mypy", "-c"]);
    let user = "import brama\n\
                @brama.circuit('x', expiry=5)\n\
                def f(a: int) -> str: return str(a)\n\
                b: str = f(1)\n\
                s: brama.Status = brama.status('x')\n";
    run(stubs.arg(user), "the types that a user sees");
}

/// The files of tests that need tools which only the default interpreter has: type checkers, pdoc,
/// the build backend, peers.
const OF_THE_DEFAULT_INTERPRETER: [&str; 3] =
    ["test_documents.py", "test_packaging.py", "test_types.py"];

#[test]
fn the_python_package_works_on_every_python_that_is_found() {
    let others = other_interpreters();
    // One wheel fits all.
    let builder = environment(&default_interpreter(), "requirements.txt");
    let wheels = target().join("tmp/python-wheels");
    let mut build = outside(&builder);
    build.args(["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]);
    build.args(["--no-build-isolation", "-w"]).arg(&wheels);
    run(build.arg(package()), "building the wheel");
    let built = fs::read_dir(&wheels).expect("it was made").flatten();
    let wheel = built
        .map(|file| file.path())
        .max_by_key(|path| fs::metadata(path).and_then(|of| of.modified()).ok())
        .expect("a wheel was built");

    let mut files: Vec<PathBuf> = fs::read_dir(package().join("tests"))
        .expect("it exists")
        .flatten()
        .map(|file| file.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("test_") && !OF_THE_DEFAULT_INTERPRETER.contains(&&*name)
        })
        .collect();
    files.sort();
    assert!(files.len() >= 11, "{files:?}");
    // All at the same time: the tests of processes, threads and ends mostly wait.
    thread::scope(|scope| {
        for other in &others {
            let (wheel, files) = (&wheel, &files);
            scope.spawn(move || {
                println!("CPython 3.{}: {:?}", other.minor, other.program);
                let python = environment(other, "requirements-core.txt");
                install(&python, wheel, &[]);
                pytest(&python, files);
            });
        }
    });
}
