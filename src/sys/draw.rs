//! A draw between 0 and 1, for the share of the calls that a ramp admits.
//!
//! Each thread has a sequence of its own, so a draw writes nothing that another thread reads. It is
//! the additive sequence of the golden ratio: each draw adds it, modulo 1. Of any number of draws
//! in a row, nearly the wanted share lies below a limit. Random numbers give that only on average.
//! A thread that asks 20 times at a share of a tenth is admitted about twice. Source: Weyl's
//! equidistribution of the multiples of an irrational number. Of all numbers the golden ratio
//! spreads them most evenly (Knuth, The Art of Computer Programming, volume 3, section 6.4).
//!
//! Threads begin at different places, so that those which ask in step are not all admitted at once.
//!
//! Rejected: the random numbers of jitter, which all threads of a manager share.

use crate::sys::atomic::{modelled, shipped, thread_token};

/// The golden ratio less one, as a part of 2^64. Odd, so that the sequence takes 2^64 draws to come
/// round.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

shipped! {
    use std::cell::Cell;

    thread_local! {
        /// The last draw, as a part of 2^64; 0 before the first. It has no destructor, so it can be
        /// used until the thread's very end.
        static LAST: Cell<u64> = const { Cell::new(0) };
    }

    /// The next draw of this thread: at least 0, below 1.
    pub(crate) fn draw() -> f64 {
        LAST.with(|last| {
            let before = match last.get() {
                0 => (thread_token() as u64).wrapping_mul(STEP.rotate_left(32) | 1),
                drawn => drawn,
            };
            let drawn = before.wrapping_add(STEP);
            last.set(drawn);
            part(drawn)
        })
    }
}

modelled! {
    /// A model decides itself which share is admitted: all or none.
    pub(crate) fn draw() -> f64 {
        part(STEP.wrapping_mul(thread_token() as u64))
    }
}

fn part(of_all: u64) -> f64 {
    // 53 bits, which a double holds.
    (of_all >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn of_few_draws_nearly_the_share_lies_below_it() {
        for share in [0.1, 0.5, 0.9] {
            for draws in [20, 100, 1_000] {
                let below = (0..draws).filter(|_| draw() < share).count() as f64;
                let wanted = share * f64::from(draws);
                assert!((below - wanted).abs() <= 3.0, "{below} of {draws}: {share}");
            }
        }
    }

    #[test]
    fn threads_begin_at_different_places() {
        let firsts: Vec<f64> = (0..8)
            .map(|_| std::thread::spawn(draw).join().expect("drawn"))
            .collect();
        let below = firsts.iter().filter(|first| **first < 0.5).count();
        assert!((1..8).contains(&below), "{firsts:?}");
    }
}
