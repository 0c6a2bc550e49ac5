//! How the shared library is linked:
//!
//! - A **SONAME** with the version of the binary interface, so that a program finds a
//!   compatible library or none. It is `libbrama.so.0.MINOR` before 1.0, when every minor
//!   version may change the interface, and `libbrama.so.MAJOR` from then on.
//! - **nodelete**: the library must not be unloaded, since threads that end run destructors in
//!   it.
//! - **Bsymbolic-functions**: a function of the program cannot replace a function of the same
//!   name that the library itself calls, and these calls need no symbol look-up.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| env::var(name).unwrap_or_default();
    let major = of("CARGO_PKG_VERSION_MAJOR");
    let abi = match major.as_str() {
        "0" => format!("0.{}", of("CARGO_PKG_VERSION_MINOR")),
        _ => major,
    };
    let arguments = match of("CARGO_CFG_TARGET_OS").as_str() {
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => vec![
            format!("-Wl,-soname,libbrama.so.{abi}"),
            "-Wl,-z,nodelete".to_owned(),
            "-Wl,-Bsymbolic-functions".to_owned(),
        ],
        "macos" => vec![format!("-Wl,-install_name,@rpath/libbrama.{abi}.dylib")],
        _ => vec![],
    };
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
