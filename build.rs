//! Decides whether records come from a pool or directly from the allocator (`brama_direct`):
//! directly under sanitizers and Miri, which look for uses of freed memory, and in models of loom.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(brama_direct)");
    let watched = ["SANITIZE", "MIRI", "LOOM"];
    if watched.map(|cfg| env::var_os(format!("CARGO_CFG_{cfg}"))) != [None, None, None] {
        println!("cargo::rustc-cfg=brama_direct");
    }
}
