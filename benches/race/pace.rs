//! Whether a core is quiet: how fast it is at a fixed piece of arithmetic.
//!
//! The system tells when a thread had to wait for a core, and knows nothing of the other
//! half of the core: a virtual machine's cores are hardware threads, and a neighbour on
//! the same core takes up to half of what it can do, for a tenth of a second or for
//! minutes. Contestants that keep the core busy suffer more from that than those that
//! wait for memory or for a locked instruction, so that not even ratios hold. The piece
//! keeps several independent chains going and touches no memory: alone on its core it
//! takes the same every time.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::quick;

/// As many times as long as ever: no longer quiet.
pub const QUIET: f64 = 1.15;

/// How long a thread waits for its core to be quiet, and how long all together in a
/// process, so that a bench ends on a machine that never is.
const PATIENCE: Duration = Duration::from_millis(30);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(90);

/// How long a core's best pace is looked for before it is measured.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// What the piece took at its best, in ns, by core: cores are not alike.
static BEST: [AtomicU64; 64] = [const { AtomicU64::new(u64::MAX) }; 64];

/// How many times as long as ever the piece takes now. The better of two tries, since an
/// interrupt is no neighbour.
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
    // SAFETY: it takes nothing; -1 where the system does not know.
    return unsafe { libc::sched_getcpu() }.max(0) as usize;
    #[cfg(not(target_os = "linux"))]
    0
}

/// Waits until the core is quiet, or no longer, and says how quiet it is.
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

/// Some 15 µs, in ns.
fn piece() -> u64 {
    let start = Instant::now();
    // Of different kinds, so that they don't become one vector.
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
