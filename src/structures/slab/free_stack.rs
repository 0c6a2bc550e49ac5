//! The stack of free batches that all threads share.
//!
//! A Treiber stack (R. K. Treiber, 1986) of numbers: each element is the number of a
//! batch's first slot. That slot's word holds the number of the element below. Memory of
//! slots is never unmapped, so a thread that read the head may read the word of its slot
//! although another thread has popped it meanwhile. What it reads then may be anything,
//! and is not used, since its exchange fails.
//!
//! The exchange fails even if the same batch has come back (the ABA problem), because the
//! head counts the pops beside the number. The count wraps after 2³² pops, or 2³⁸ slots
//! in full batches. A thread would have to be stopped between two instructions for exactly
//! as many. Batches are named by numbers because an address would leave the count only a
//! few bits.

use crate::sys::atomic::{AtomicU64, Ordering, modelled, shipped};

/// Where each batch keeps the number of the one below it.
pub(crate) trait Links {
    /// The link of a slot that was pushed at some time.
    fn link(&self, number: u32) -> &AtomicU64;
}

/// In place of a number: the stack is empty, or ends here.
const NONE: u32 = u32::MAX;

/// The stack of free batches.
pub(crate) struct Stack {
    /// `number of pops << 32 | the topmost number`.
    head: AtomicU64,
}

impl Stack {
    /// The head of a new stack.
    const EMPTY: u64 = NONE as u64;

    /// Pushes a batch that is the caller's alone.
    pub(crate) fn push(&self, number: u32, links: &impl Links) {
        let word = links.link(number);
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange.
            word.store(u64::from(head as u32), Ordering::Relaxed);
            let next = head & !u64::from(NONE) | u64::from(number);
            // ORDERING: Release publishes the batch and its word to the Acquires in
            // `pop`; every change of the head is an RMW, so the release sequence
            // reaches a thread that finds the number there later.
            match self
                .head
                .compare_exchange_weak(head, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(current) => head = current,
            }
        }
    }

    /// Pops a batch, which is then the caller's alone. `None` if the stack is empty.
    pub(crate) fn pop(&self, links: &impl Links) -> Option<u32> {
        // ORDERING: Acquire, partner of the Release in `push`: the batch and its word are
        // written.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let number = head as u32;
            if number == NONE {
                return None;
            }
            // Relaxed: if the batch is still there, its word came with the head.
            let below = links.link(number).load(Ordering::Relaxed) as u32;
            let pops = (head >> 32).wrapping_add(1);
            // ORDERING: Relaxed, since the batch came with the head that was acquired before.
            // Acquire on failure, partner of the Release in `push`: the head is another batch's
            // now.
            match self.head.compare_exchange_weak(
                head,
                pops << 32 | u64::from(below),
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(number),
                Err(current) => head = current,
            }
        }
    }
}

shipped! {
    impl Stack {
        pub(crate) const fn new() -> Self {
            Stack { head: AtomicU64::new(Self::EMPTY) }
        }
    }
}

modelled! {
    impl Stack {
        pub(crate) fn new() -> Self {
            Stack { head: AtomicU64::new(Self::EMPTY) }
        }
    }
}

#[cfg(all(test, not(brama_direct)))]
impl Stack {
    pub(crate) fn pops(&self) -> u32 {
        (self.head.load(Ordering::Relaxed) >> 32) as u32
    }
}
