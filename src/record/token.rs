//! A ticket in one word, for permits that cross the C boundary by value.
//!
//! ```text
//! to pass:  0 │ 0 …                                 │ generation (13)
//! to probe: 1 │ slot (16) │ generation (13) │ serial (11) │ low end of lease (23)
//! ```
//!
//! A probe's lease is a word of its own, and the slot still has it: the token keeps
//! enough of it to tell it from any other lease of that slot, and the rest is read
//! back from there. If the slot has gone on meanwhile, the token makes a ticket that
//! no slot accepts, which is what a late report is.

use super::{Record, Ticket};
use crate::config::MAX_HALF_OPEN_CALLS;
use crate::probes::Lease;

const PROBE: u64 = 1 << 63;
const SLOT_SHIFT: u32 = 47;
const STAMP_MASK: u64 = (1 << SLOT_SHIFT) - 1;
const _: () = assert!(MAX_HALF_OPEN_CALLS <= 1 << 16, "a slot's number fits");

/// What a token keeps of a stamp.
fn kept(stamp: u64) -> u64 {
    (stamp >> 40) << 23 | stamp & ((1 << 23) - 1)
}

impl Ticket {
    #[inline]
    pub(crate) fn token(self) -> u64 {
        match self.lease() {
            None => self.generation().bits(),
            Some(lease) => PROBE | u64::from(lease.slot) << SLOT_SHIFT | kept(lease.stamp),
        }
    }
}

impl Record {
    /// The ticket of a token; of any word, a ticket that is refused or one that
    /// could have been given.
    #[inline]
    pub(crate) fn ticket(&self, token: u64) -> Ticket {
        if token & PROBE == 0 {
            return Ticket::to_pass_in(token);
        }
        self.probing_ticket(token)
    }

    #[cold]
    fn probing_ticket(&self, token: u64) -> Ticket {
        let slot = ((token & !PROBE) >> SLOT_SHIFT) as u32;
        let stamp = token & STAMP_MASK;
        let known = self
            .probes
            .stamp(slot)
            .filter(|known| kept(*known) == stamp);
        Ticket::of_lease(Lease {
            slot,
            // Its end is past: no report finds it in time.
            stamp: known.unwrap_or((stamp >> 23) << 40 | 1),
        })
    }
}
