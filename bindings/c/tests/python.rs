//! The Python package as its users get it: built by `pip` from the source tree, installed
//! into a virtual environment, and tested from there by pytest and `mypy --strict`.
//!
//! The environment is made once and kept in the target folder, under a name made of what
//! is installed into it; the package is built and installed every time. `$PYTHON` names
//! another interpreter than `python3`.
#![cfg(unix)]

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("python")
}

/// Runs a command to its end; one that cannot run or fails is a failing test.
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

/// A virtual environment with the tools; its interpreter.
fn environment() -> PathBuf {
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let required = "the tests of the Python package need Python 3.9 or newer with `venv` and `pip`";
    let check =
        "import sys, venv, ensurepip; assert sys.version_info >= (3, 9); print(sys.version)";
    let version = run(Command::new(&python).args(["-c", check]), required).stdout;
    let requirements = package().join("tests/requirements.txt");
    let mut hasher = DefaultHasher::new();
    (
        &python,
        &version,
        fs::read(&requirements).expect("it exists"),
    )
        .hash(&mut hasher);
    let name = format!("python-{:016x}", hasher.finish());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (inside, complete) = (folder.join("bin/python"), folder.join("complete"));
    if !complete.exists() {
        let mut make = Command::new(&python);
        run(make.args(["-m", "venv", "--clear"]).arg(&folder), required);
        let mut install = Command::new(&inside);
        install.args(["-m", "pip", "install", "--quiet", "-r"]);
        run(install.arg(&requirements), "installing the test tools");
        fs::write(complete, "").expect("it can be written");
    }
    inside
}

/// Where this build puts what it compiles, so that `cargo` need not compile it all anew.
fn target() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    folder.expect("it is in the target folder").to_owned()
}

#[test]
fn the_python_package_passes_its_tests() {
    let python = environment();
    let outside = target().join("tmp/python-outside");
    fs::create_dir_all(&outside).expect("it can be made");
    let here = || {
        let mut command = Command::new(&python);
        command
            .current_dir(&outside)
            .env("CARGO", env!("CARGO"))
            .env("CARGO_TARGET_DIR", target())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("PYTHONPATH")
            .env_remove("BRAMA_LIBRARY")
            .env_remove("BRAMA_PREBUILT");
        command
    };
    let mut install = here();
    install.args(["-m", "pip", "install", "--quiet", "--force-reinstall"]);
    install.args(["--no-deps", "--no-index", "--no-build-isolation"]);
    run(
        install.arg(package()),
        "building and installing the package",
    );

    let mut pytest = here();
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir"]);
    pytest
        .arg(package())
        .arg("-c")
        .arg(package().join("pyproject.toml"));
    run(
        pytest.arg(package().join("tests")),
        "the tests of the package",
    );

    for files in ["src/brama", "examples"] {
        let mut mypy = here();
        mypy.args(["-m", "mypy", "--strict", "--cache-dir=mypy"]);
        run(mypy.arg(package().join(files)), "types");
    }
    let mut stubs = here();
    stubs.args(["-m", "mypy", "--strict", "--cache-dir=mypy", "-c"]);
    let user = "import brama\n\
                @brama.circuit('x', expiry=5)\n\
                def f(a: int) -> str: return str(a)\n\
                b: str = f(1)\n\
                s: brama.Status = brama.status('x')\n";
    run(stubs.arg(user), "the types that a user sees");
}
