//! A short text that any thread may replace and any may read. No thread waits, and a writer
//! allocates nothing.
//!
//! A sequence lock over atomic words. One thread at a time writes: it [claims](TextCell::claim) the
//! cell by making the sequence *busy*, stores the text word by word, and increments the sequence. A
//! thread that finds it busy drops its text: of two texts that come at once, either may be the
//! last one. A reader copies the words between two loads of the sequence, and takes the copy if
//! both loads agree.
//!
//! The caller adds some words to each text, its *label*. A reader that knows which label it wants
//! distinguishes a text from one that belongs to something else.
//!
//! In the child of a fork a writer may have been left behind. The sequence says in which process it
//! was made busy. A writer in another process takes it over; until then there is no text.
//!
//! Rejected: a shared pointer to an allocated text (an allocation for each failure, while the
//! caller handles an outage); a lock.
//!
//! The fences are those of H.-J. Boehm, *Can seqlocks get along with programming language memory
//! models?*, 2012.

use crate::sys::atomic::{AtomicU64, Ordering, fence};
use crate::sys::fork;
use crate::values::event;

/// How many bytes of a text are kept, in whole characters.
pub(crate) const MOST: usize = WORDS * 8;
const WORDS: usize = if cfg!(loom) { 1 } else { 32 };

pub(crate) struct TextCell<const LABEL: usize> {
    /// `writes (31) | busy (1) | the process that writes (32)`.
    sequence: AtomicU64,
    label: [AtomicU64; LABEL],
    /// The length of the text in bytes.
    length: AtomicU64,
    words: [AtomicU64; WORDS],
}

const BUSY: u64 = 1 << 32;
const WRITE: u64 = BUSY << 1;

/// How often a reader tries while a writer is at work.
const TRIES: usize = if cfg!(loom) { 1 } else { 16 };

impl<const LABEL: usize> TextCell<LABEL> {
    pub(crate) fn new() -> Self {
        TextCell {
            sequence: AtomicU64::new(0),
            label: std::array::from_fn(|_| AtomicU64::new(0)),
            length: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Returns the right to write, or `None` if another thread of this process has it.
    #[inline]
    pub(crate) fn claim(&self) -> Option<Claim<'_, LABEL>> {
        let process = u64::from(fork::incarnation());
        let before = self.sequence.load(Ordering::Relaxed);
        if before & BUSY != 0 && before as u32 == process as u32 {
            return None;
        }
        let busy = (before & !(WRITE - 1)) | BUSY | process;
        // ORDERING: Acquire, partner of the Release in `Claim::write`: the words of the write
        // before are older than this one's.
        self.sequence
            .compare_exchange(before, busy, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(Claim { cell: self, before })
    }

    /// Whether this is the last text, whatever its label. True of an empty text if there is none.
    /// False while a writer is at work, and of a text of which only a part is [`kept`]. Called
    /// before [`TextCell::claim`], which makes the other cores fetch the cell again: in an outage
    /// the same text comes over and over.
    #[inline(always)]
    pub(crate) fn has(&self, text: &str) -> bool {
        // ORDERING: Acquire, partner of the Release in `Claim::write`.
        let before = self.sequence.load(Ordering::Acquire);
        if self.length.load(Ordering::Relaxed) != text.len() as u64 {
            return false;
        }
        let (whole, rest) = text.as_bytes().as_chunks();
        let mut words = self.words.iter();
        for (bytes, word) in whole.iter().zip(&mut words) {
            if word.load(Ordering::Relaxed) != u64::from_le_bytes(*bytes) {
                return false;
            }
        }
        // There is a next word: the length that was found, which `text` has too, is at most `MOST`.
        if !rest.is_empty()
            && let Some(word) = words.next()
            && word.load(Ordering::Relaxed) != end(text.as_bytes())
        {
            return false;
        }
        // ORDERING: Acquire, partner of the Release fence in `Claim::write`.
        fence(Ordering::Acquire);
        // If it was busy before, equal only if the claim was given up since.
        self.sequence.load(Ordering::Relaxed) == before & !BUSY
    }

    /// The last text and its label. `None` if there is none, or if a writer is at work whenever this
    /// thread looks.
    pub(crate) fn read(&self) -> Option<([u64; LABEL], String)> {
        for _ in 0..TRIES {
            // ORDERING: Acquire, partner of the Release in `Claim::write`.
            let before = self.sequence.load(Ordering::Acquire);
            if before == 0 {
                return None;
            }
            if before & BUSY == 0 {
                let label = self
                    .label
                    .each_ref()
                    .map(|word| word.load(Ordering::Relaxed));
                let length = (self.length.load(Ordering::Relaxed) as usize).min(MOST);
                let mut bytes = Vec::with_capacity(length.next_multiple_of(8));
                for word in &self.words[..length.div_ceil(8)] {
                    bytes.extend(word.load(Ordering::Relaxed).to_le_bytes());
                }
                // ORDERING: Acquire, partner of the Release fence in `Claim::write`.
                fence(Ordering::Acquire);
                if self.sequence.load(Ordering::Relaxed) == before {
                    bytes.truncate(length);
                    let text = String::from_utf8(bytes).ok()?;
                    return Some((label, text));
                }
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// The right to replace the text, which one thread at a time has. Dropping it leaves the text.
pub(crate) struct Claim<'a, const LABEL: usize> {
    cell: &'a TextCell<LABEL>,
    /// The sequence before the claim.
    before: u64,
}

impl<const LABEL: usize> Claim<'_, LABEL> {
    /// Replaces the text.
    #[inline]
    pub(crate) fn write(self, label: [u64; LABEL], text: &str) {
        let cell = self.cell;
        // ORDERING: Release, partner of the Acquire fence in `read`: a reader that finds one of the
        // words below finds the sequence busy, or what comes after it.
        fence(Ordering::Release);
        let text = kept(text);
        for (word, label) in cell.label.iter().zip(label) {
            word.store(label, Ordering::Relaxed);
        }
        cell.length.store(text.len() as u64, Ordering::Relaxed);
        let (whole, rest) = text.as_bytes().as_chunks();
        let (words, last) = cell.words.split_at(whole.len());
        for (word, bytes) in words.iter().zip(whole) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if !rest.is_empty()
            && let Some(last) = last.first()
        {
            last.store(end(text.as_bytes()), Ordering::Relaxed);
        }
        let done = (self.before & !(WRITE - 1)).wrapping_add(WRITE);
        // ORDERING: Release, partner of the Acquire load in `read` and of that in `claim`: the
        // words are written.
        cell.sequence.store(done, Ordering::Release);
        std::mem::forget(self);
    }
}

impl<const LABEL: usize> Drop for Claim<'_, LABEL> {
    fn drop(&mut self) {
        // ORDERING: Release, partner of the Acquire load in `read`: publishes the words of the
        // write before, which `claim` has acquired.
        self.cell.sequence.store(self.before, Ordering::Release);
    }
}

/// The beginning of a text that is kept, at most [`MOST`] bytes.
#[inline]
pub(crate) fn kept(text: &str) -> &str {
    match text.len() <= MOST {
        true => text,
        false => event::beginning(text, MOST),
    }
}

/// The last bytes of a text, those that fill no whole word, as a word. There is at least one.
#[inline(always)]
fn end(text: &[u8]) -> u64 {
    if let Some(last) = text.last_chunk() {
        // Shifts out the bytes that are in a whole word.
        return u64::from_le_bytes(*last) >> (8 * (text.len().wrapping_neg() % 8));
    }
    let at = |index: usize| u64::from(text[index]) << (8 * index);
    match (text.first_chunk(), text.last_chunk()) {
        // They overlap where they are equal.
        (Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|half| u64::from(u32::from_le_bytes(*half)));
            first | last << (8 * (text.len() - 4))
        }
        _ => at(0) | at(text.len() / 2) | at(text.len() - 1),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn write(cell: &TextCell<1>, label: u64, text: &str) {
        if let Some(claim) = cell.claim() {
            claim.write([label], text);
        }
    }

    #[test]
    fn a_cell_has_the_last_text_and_its_label() {
        let cell = TextCell::new();
        assert_eq!(cell.read(), None);
        write(&cell, 7, "timeout");
        assert_eq!(cell.read(), Some(([7], "timeout".to_owned())));
        write(&cell, u64::MAX, "");
        assert_eq!(cell.read(), Some(([u64::MAX], String::new())));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let cell = TextCell::new();
        let text = format!("{}é and more", "x".repeat(MOST - 1));
        write(&cell, 0, &text);
        let (_, kept) = cell.read().expect("written");
        assert_eq!(kept, "x".repeat(MOST - 1));
        write(&cell, 0, &"y".repeat(MOST));
        assert_eq!(cell.read().expect("written").1, "y".repeat(MOST));
    }

    #[test]
    fn a_writer_that_was_left_behind_in_the_parent_is_replaced() {
        let cell = TextCell::new();
        write(&cell, 1, "before the fork");
        let parent = u64::from(fork::incarnation()).wrapping_sub(1) & u64::from(u32::MAX);
        cell.sequence
            .store(WRITE | BUSY | parent, Ordering::Relaxed);
        assert_eq!(cell.read(), None);
        write(&cell, 2, "after it");
        assert_eq!(cell.read(), Some(([2], "after it".to_owned())));
    }

    #[test]
    fn a_writer_leaves_its_text_out_while_another_one_writes() {
        let cell = TextCell::new();
        let claim = cell.claim().expect("the first");
        write(&cell, 1, "second");
        claim.write([2], "first");
        assert_eq!(cell.read(), Some(([2], "first".to_owned())));
    }

    #[test]
    fn texts_of_all_lengths_are_kept_and_recognised() {
        let cell = TextCell::new();
        assert!(!cell.has("any"), "there is none");
        let long = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(8);
        for length in 0..long.len() {
            let text = &long[..length];
            write(&cell, 7, text);
            let kept = &text[..length.min(MOST)];
            assert_eq!(cell.read(), Some(([7], kept.to_owned())));
            assert_eq!(cell.has(text), length <= MOST);
            assert!(cell.has(kept));
            if (1..=MOST).contains(&length) {
                assert!(!cell.has(&text[1..]));
                let mut other = text.to_owned();
                other.replace_range(length / 2..=length / 2, "-");
                assert!(!cell.has(&other));
            }
        }
    }

    #[test]
    fn a_claim_that_is_given_up_leaves_the_text() {
        let cell = TextCell::new();
        drop(cell.claim());
        assert_eq!(cell.read(), None);
        write(&cell, 1, "kept");
        drop(cell.claim());
        assert_eq!(cell.read(), Some(([1], "kept".to_owned())));
        write(&cell, 2, "replaced");
        assert_eq!(cell.read(), Some(([2], "replaced".to_owned())));
    }
}
