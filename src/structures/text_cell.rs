//! A short text that any thread may replace and any may read. No thread waits, and nothing is
//! allocated.
//!
//! A sequence lock over atomic words. One thread at a time writes: it makes the sequence *busy*,
//! stores the text word by word, and counts the sequence on. A thread that finds it busy leaves
//! its text out: of two texts that come at once, either may be the last one. A reader copies the
//! words between two looks at the sequence, and takes the copy if both looks agree.
//!
//! A tag of 48 bits comes with each text. A reader that knows which tag it wants tells a text from
//! one that is older.
//!
//! In the child of a fork a writer may have been left behind. The sequence says in which process it
//! was made busy. A writer in another process takes it over; until then there is no text.
//!
//! Rejected: a shared pointer to an allocated text (an allocation for each failure, on the way of a
//! caller who has other trouble); a lock.
//!
//! The fences are those of H.-J. Boehm, *Can seqlocks get along with programming language memory
//! models?*, 2012.

use crate::sys::atomic::{AtomicU64, Ordering, fence};
use crate::sys::fork;

/// As many bytes of a text as are kept, in whole characters.
pub(crate) const MOST: usize = WORDS * 8;
const WORDS: usize = if cfg!(loom) { 1 } else { 32 };

pub(crate) struct TextCell {
    /// `writes (31) | busy (1) | the process that writes (32)`.
    sequence: AtomicU64,
    /// `tag (48) | bytes of the text (16)`.
    head: AtomicU64,
    words: [AtomicU64; WORDS],
}

const BUSY: u64 = 1 << 32;
const WRITE: u64 = BUSY << 1;
const LENGTH_BITS: u32 = 16;
/// Tags are smaller.
pub(crate) const TAGS: u64 = 1 << (64 - LENGTH_BITS);

/// How often a reader tries again that finds a writer at work.
const TRIES: usize = if cfg!(loom) { 1 } else { 16 };

impl TextCell {
    pub(crate) fn new() -> Self {
        TextCell {
            sequence: AtomicU64::new(0),
            head: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Replaces the text, unless another thread does.
    pub(crate) fn try_write(&self, tag: u64, text: &str) {
        debug_assert!(tag < TAGS);
        let process = u64::from(fork::incarnation());
        let before = self.sequence.load(Ordering::Relaxed);
        if before & BUSY != 0 && before as u32 == process as u32 {
            return;
        }
        let busy = (before & !(WRITE - 1)) | BUSY | process;
        // ORDERING: Acquire, partner of the Release at the end of the write before: its words are
        // older than this one's.
        let claimed =
            self.sequence
                .compare_exchange(before, busy, Ordering::Acquire, Ordering::Relaxed);
        if claimed.is_err() {
            return;
        }
        // ORDERING: Release, partner of the Acquire fence in `read`: a reader that finds one of the
        // words below finds the sequence busy, or what comes after it.
        fence(Ordering::Release);
        let text = beginning(text);
        let head = tag << LENGTH_BITS | text.len() as u64;
        self.head.store(head, Ordering::Relaxed);
        for (word, bytes) in self.words.iter().zip(text.as_bytes().chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        let done = (busy & !(WRITE - 1)).wrapping_add(WRITE);
        // ORDERING: Release, partner of the first load in `read`: the words are written.
        self.sequence.store(done, Ordering::Release);
    }

    /// The last text and its tag. `None` if there is none, or if writers are at work whenever this
    /// thread looks.
    pub(crate) fn read(&self) -> Option<(u64, String)> {
        for _ in 0..TRIES {
            // ORDERING: Acquire, partner of the Release at the end of `try_write`.
            let before = self.sequence.load(Ordering::Acquire);
            if before == 0 {
                return None;
            }
            if before & BUSY == 0 {
                let head = self.head.load(Ordering::Relaxed);
                let length = (head as usize & ((1 << LENGTH_BITS) - 1)).min(MOST);
                let mut bytes = Vec::with_capacity(length.next_multiple_of(8));
                for word in &self.words[..length.div_ceil(8)] {
                    bytes.extend(word.load(Ordering::Relaxed).to_ne_bytes());
                }
                // ORDERING: Acquire, partner of the Release fence in `try_write`.
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    bytes.truncate(length);
                    let text = String::from_utf8(bytes).ok()?;
                    return Some((head >> LENGTH_BITS, text));
                }
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// As much of a text as is kept.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_last_text_and_its_tag() {
        let cell = TextCell::new();
        assert_eq!(cell.read(), None);
        cell.try_write(7, "timeout");
        assert_eq!(cell.read(), Some((7, "timeout".to_owned())));
        cell.try_write(TAGS - 1, "");
        assert_eq!(cell.read(), Some((TAGS - 1, String::new())));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let cell = TextCell::new();
        let text = format!("{}é and more", "x".repeat(MOST - 1));
        cell.try_write(0, &text);
        let (_, kept) = cell.read().expect("written");
        assert_eq!(kept, "x".repeat(MOST - 1));
        cell.try_write(0, &"y".repeat(MOST));
        assert_eq!(cell.read().expect("written").1, "y".repeat(MOST));
    }

    #[test]
    fn a_writer_that_was_left_behind_in_the_parent_is_replaced() {
        let cell = TextCell::new();
        cell.try_write(1, "before the fork");
        let parent = u64::from(fork::incarnation()).wrapping_sub(1) & u64::from(u32::MAX);
        cell.sequence
            .store(WRITE | BUSY | parent, Ordering::Relaxed);
        assert_eq!(cell.read(), None);
        cell.try_write(2, "after it");
        assert_eq!(cell.read(), Some((2, "after it".to_owned())));
    }

    #[test]
    fn a_writer_leaves_its_text_out_while_another_one_writes() {
        let cell = TextCell::new();
        let here = u64::from(fork::incarnation());
        cell.sequence.store(BUSY | here, Ordering::Relaxed);
        cell.try_write(1, "second");
        cell.sequence.store(WRITE, Ordering::Relaxed);
        assert_eq!(cell.read(), Some((0, String::new())));
    }
}
