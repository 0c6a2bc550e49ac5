//! Memory of removed connections is freed while another thread looks names up,
//! with the kernel's barriers (`membarrier`) and if the kernel refuses them.
//!
//! Every test has a process of its own, since a filter of system calls cannot be removed.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::alone;
use crate::common::counting::bytes_alive;
use crate::common::forks::{Finding, beside, check, fork, in_child};
use brama::{Brama, ConnectionOptions};

const PAIRS: usize = 50_000;

/// A name that is too long to be stored inside the record.
fn name(n: usize) -> String {
    format!("{n:0>1000}")
}

/// Makes `membarrier` fail from now on with `ENOSYS`, as if there were no such system call.
fn refuse_barriers() -> Finding {
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let number = std::mem::offset_of!(libc::seccomp_data, nr) as u32;
    let mut statements = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, number),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_membarrier as u32,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: statements.len() as u16,
        filter: statements.as_mut_ptr(),
    };
    // SAFETY: the program and its statements outlive the calls. The kernel copies them.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
            && libc::syscall(libc::SYS_membarrier, 0, 0, 0) == -1
    };
    check(refused, || {
        format!("no filter: {}", std::io::Error::last_os_error())
    })
}

/// Registers and unregisters names while another thread looks
/// them up. Returns how many more bytes are alive afterwards.
fn churn(brama: &Brama) -> Result<isize, String> {
    brama.register("stays", None).map_err(|e| e.to_string())?;
    let [done, wrong] = [false; 2].map(AtomicBool::new);
    let before = bytes_alive();
    let look = || {
        for n in 0.. {
            brama.available(&name(n % PAIRS));
            if !brama.available("stays") {
                wrong.store(true, Ordering::Relaxed);
            }
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    beside(1, look, || {
        let churned = (0..PAIRS).try_for_each(|n| {
            let name = name(n);
            brama.register(&name, None).map_err(|e| e.to_string())?;
            brama.unregister(&name).map_err(|e| e.to_string())
        });
        done.store(true, Ordering::Relaxed);
        churned
    })?;
    check(!wrong.into_inner(), || "it stays".to_owned())?;
    Ok(bytes_alive() - before)
}

fn quiet() -> Brama {
    Brama::builder()
        .background(false)
        .build()
        .expect("defaults are valid")
}

#[test]
fn removed_connections_are_freed() {
    let _alone = alone();
    in_child(|| {
        let left = churn(&quiet())?;
        check(left < 4 << 20, || format!("{left} bytes are left"))
    });
}

#[test]
fn windows_that_were_replaced_are_freed() {
    let _alone = alone();
    in_child(|| {
        let brama = quiet();
        let db = brama.register("db", None).map_err(|e| e.to_string())?;
        let before = bytes_alive();
        for last in 0..50 {
            // 800 kB each.
            let options = ConnectionOptions::new()
                .failure_rate(0.5)
                .rate_calls(100_000 - last);
            db.configure(options).map_err(|e| e.to_string())?;
        }
        let left = bytes_alive() - before;
        check(left < 4 << 20, || format!("{left} bytes are left"))
    });
}

#[test]
fn removed_connections_are_freed_where_the_kernel_refuses_barriers() {
    let _alone = alone();
    in_child(|| {
        refuse_barriers()?;
        let left = churn(&quiet())?;
        check(left < 4 << 20, || format!("{left} bytes are left"))
    });
}

#[test]
fn barriers_that_are_refused_later_cost_memory_and_nothing_else() {
    let _alone = alone();
    in_child(|| {
        let brama = quiet();
        churn(&brama)?;
        brama.unregister("stays").map_err(|e| e.to_string())?;
        refuse_barriers()?;
        let left = churn(&brama)?;
        check(left > 10 << 20, || {
            format!("only {left} bytes are left: freed without a barrier?")
        })
    });
}

#[test]
fn a_child_asks_the_kernel_again() {
    let _alone = alone();
    in_child(|| {
        let brama = quiet();
        churn(&brama)?;
        refuse_barriers()?;
        let child = fork(|| {
            brama.unregister("stays").map_err(|e| e.to_string())?;
            let left = churn(&brama)?;
            check(left < 4 << 20, || format!("{left} bytes are left"))
        });
        child.join();
        Ok(())
    });
}

#[test]
fn what_a_thread_removed_is_freed_when_it_ends() {
    let _alone = alone();
    in_child(|| {
        let brama = quiet();
        let mut left = Vec::new();
        for round in 0..200 {
            let before = bytes_alive();
            let come_and_go = || {
                brama.register(&name(round), None).expect("a new name");
                brama.unregister(&name(round)).expect("registered");
            };
            beside(1, come_and_go, || Ok(()))?;
            left.push(bytes_alive() - before);
        }
        let sum: isize = left.iter().skip(1).sum();
        check(sum < 10_000, || format!("{left:?}"))
    });
}
