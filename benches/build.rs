//! Compiles the compiler's version into the benches, which may run on a machine without a compiler.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let answer = Command::new(compiler).arg("--version").output();
    let version = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned());
    let version = version.unwrap_or_else(|_| "an unknown compiler".to_owned());
    println!("cargo::rustc-env=BRAMA_BENCH_COMPILER={version}");
    println!("cargo::rerun-if-changed=build.rs");
}
