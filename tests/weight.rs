//! How much memory a connection takes, in a process that has done nothing before.
//!
//! The process keeps freed records for later connections, so this file has one test only.

mod common;

use brama::Brama;
use common::counting::{Counting, bytes_alive};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COUNT: usize = 450_000;

/// The n-th name, sixteen bytes.
fn name(n: usize) -> String {
    format!("connection-{n:05x}")
}

#[test]
fn a_connection_takes_256_bytes_at_most_and_leaves_them_for_another() {
    let brama = Brama::builder().background(false).build().expect("valid");
    let before = bytes_alive();
    let each = || (bytes_alive() - before) as f64 / COUNT as f64;
    let register = || {
        for n in 0..COUNT {
            brama.register(name(n).as_str(), None).expect("a new name");
        }
    };
    register();
    let full = each();
    assert!(full <= 256.0, "{full} bytes");
    for n in 0..COUNT {
        brama.unregister(name(n).as_str()).expect("registered");
    }
    register();
    let again = each();
    assert!(again < full + 1.0, "{again} bytes, {full} the first time");
}
