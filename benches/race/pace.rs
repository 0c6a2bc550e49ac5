//! Whether a core is quiet: how fast it is at a fixed piece of arithmetic.
//!
//! The system says how long a thread had to wait for a core. It does not know what else runs
//! on that core: a virtual machine's cores are hardware threads, and a neighbour on the same
//! physical core may take up to half of its speed, for a tenth of a second or for minutes.
//! That slows contestants that keep the core busy more than those that wait for memory or for
//! a locked instruction, so even ratios change. The piece of arithmetic has several
//! independent chains and touches no memory. Alone on its core it always takes the same time.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::quick;

/// A core is quiet if the piece takes at most so many times its best time.
pub const QUIET: f64 = 1.15;

/// How long a thread waits for its core to be quiet, and how long all threads of
/// a process wait together. So a bench ends even if the machine is never quiet.
const PATIENCE: Duration = Duration::from_millis(30);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(90);

/// How long the best time of a core is searched for before the first measurement on it.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// The best time of the piece on each core, in ns, since cores differ.
static BEST: [AtomicU64; 64] = [const { AtomicU64::new(u64::MAX) }; 64];

/// How many times its best time the piece takes now. The
/// better of two tries, so that an interrupt does not count.
pub fn pace() -> f64 {
    let best = &BEST[this_core() % BEST.len()];
    let keep = |now: u64| best.fetch_min(now, Ordering::Relaxed).min(now);
    if best.load(Ordering::Relaxed) == u64::MAX {
        let start = Instant::now();
        while start.elapsed() < FIRST_LOOK {
            keep(piece());
        }
    }
    let now = piece().min(piece());
    now as f64 / keep(now) as f64
}

fn this_core() -> usize {
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes no arguments. It returns -1 if the system does not know.
    return unsafe { libc::sched_getcpu() }.max(0) as usize;
    #[cfg(not(target_os = "linux"))]
    0
}

/// Waits until the core is quiet, or until the patience is over. Returns the pace.
pub fn await_quiet() -> f64 {
    static WAITED: AtomicU64 = AtomicU64::new(0);
    let start = Instant::now();
    let so_far = Duration::from_nanos(WAITED.load(Ordering::Relaxed));
    let in_all = if quick() {
        Duration::ZERO
    } else {
        PATIENCE_IN_ALL
    };
    let patience = PATIENCE.min(in_all.saturating_sub(so_far));
    loop {
        let now = pace();
        let waited = start.elapsed();
        if now <= QUIET || waited > patience {
            WAITED.fetch_add(waited.as_nanos() as u64, Ordering::Relaxed);
            return now;
        }
    }
}

/// Runs the piece of arithmetic, some 15 µs. Returns its time in ns.
fn piece() -> u64 {
    let start = Instant::now();
    // Chains of different kinds, so that the compiler makes no vector of them.
    let (mut a, mut b, mut c, mut d, mut e, mut f) = black_box((1, 2, 3, 4, 5, 6));
    for i in 0..10_000_u64 {
        a = (a ^ i).wrapping_add(1);
        b = u64::rotate_left(b, 7).wrapping_add(i);
        c = u64::wrapping_sub(c, i) ^ 3;
        d = u64::rotate_right(d, 5) ^ i;
        e = u64::wrapping_add(e, i).rotate_left(9);
        f = u64::wrapping_sub(i, f).rotate_left(3);
    }
    black_box((a, b, c, d, e, f));
    start.elapsed().as_nanos() as u64
}
