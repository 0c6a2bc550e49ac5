//! The length of a string from C, and whether it is ASCII, in one pass.
//!
//! Every name and every reason that comes from C is measured and validated. They are short, and two
//! calls (`strlen`, then a test for ASCII) take longer than the report that they belong to. On
//! x86-64 both are done for 16 bytes at a time.
//!
//! The 16 bytes are an aligned block, so they lie on one page. One of them belongs to the string,
//! so the processor lets all of them be read. The language does not allow that, so assembly reads
//! them. Rejected: unaligned loads with a test for the end of the page, which tools that watch
//! every byte report as an error.

use std::ffi::c_char;
use std::slice;

/// In place of a text's length: the text ends with a NUL. In C it is BRAMA_TERMINATED.
pub(super) const TERMINATED: usize = usize::MAX;

/// The bytes of a text of this length, or [`TERMINATED`], and whether they are known to be
/// ASCII. `None` for a length that no memory has.
///
/// # Safety
///
/// A text of its length.
#[inline(always)]
pub(super) unsafe fn bytes<'a>(text: *const c_char, length: usize) -> Option<(&'a [u8], bool)> {
    let (length, is_ascii) = match length {
        // SAFETY: a string that ends with a NUL: this function's # Safety.
        TERMINATED => unsafe { measure(text) },
        length if length > isize::MAX as usize => return None,
        length => (length, false),
    };
    // SAFETY: `text` has `length` bytes: this function's # Safety, or `measure` has found them.
    let bytes = unsafe { slice::from_raw_parts(text.cast(), length) };
    Some((bytes, is_ascii))
}

/// A string's length, and whether all of it is ASCII.
///
/// # Safety
///
/// A string that ends with a NUL.
#[inline]
#[cfg(all(target_arch = "x86_64", not(brama_direct)))]
unsafe fn measure(text: *const c_char) -> (usize, bool) {
    let skipped = text.addr() % BLOCK;
    let mut block = text.wrapping_byte_sub(skipped).cast::<u8>();
    // SAFETY: the block has the string's first byte.
    let (ends, high) = unsafe { look_at(block) };
    let (mut ends, mut high) = (ends >> skipped, high >> skipped);
    let mut before = 0;
    let mut all_high = 0;
    let mut length = BLOCK - skipped;
    while ends == 0 {
        all_high |= high;
        before += length;
        length = BLOCK;
        block = block.wrapping_add(BLOCK);
        // SAFETY: the string has not ended, so the block has a byte of it.
        (ends, high) = unsafe { look_at(block) };
    }
    // In the last block, only the bytes before the NUL count.
    let last = ends.trailing_zeros();
    all_high |= high & ((1 << last) - 1);
    (before + last as usize, all_high == 0)
}

#[cfg(all(target_arch = "x86_64", not(brama_direct)))]
const BLOCK: usize = 16;

/// Bit masks of the bytes that are NUL, and of those whose highest bit is set.
///
/// # Safety
///
/// The block is aligned, and one of its bytes may be read.
#[inline]
#[cfg(all(target_arch = "x86_64", not(brama_direct)))]
unsafe fn look_at(block: *const u8) -> (u32, u32) {
    let (ends, high): (u32, u32);
    // SAFETY: the block is aligned, so it lies on one page. One of its bytes may be read (this
    // function's # Safety), so the page may. Every x86-64 processor has these instructions.
    unsafe {
        std::arch::asm!(
            "movdqa {bytes}, xmmword ptr [{block}]",
            "pmovmskb {high:e}, {bytes}",
            "pxor {zero}, {zero}",
            "pcmpeqb {zero}, {bytes}",
            "pmovmskb {ends:e}, {zero}",
            block = in(reg) block,
            bytes = out(xmm_reg) _,
            zero = out(xmm_reg) _,
            high = lateout(reg) high,
            ends = lateout(reg) ends,
            options(readonly, nostack, preserves_flags),
        );
    }
    (ends, high)
}

/// A string's length, and whether all of it is ASCII.
///
/// # Safety
///
/// A string that ends with a NUL.
#[cfg(not(all(target_arch = "x86_64", not(brama_direct))))]
unsafe fn measure(text: *const c_char) -> (usize, bool) {
    // SAFETY: a string that ends with a NUL: this function's # Safety.
    let bytes = unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes();
    (bytes.len(), bytes.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that can be read before one that cannot.
    fn page_at_the_edge() -> &'static mut [u8] {
        // SAFETY: fresh memory, which is never unmapped, and nothing refers to
        // its second half.
        unsafe {
            let size = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE);
            let flags = flags | libc::MAP_ANONYMOUS;
            let pages = libc::mmap(std::ptr::null_mut(), 2 * size, access, flags, -1, 0);
            assert_ne!(pages, libc::MAP_FAILED);
            assert_eq!(
                libc::mprotect(pages.byte_add(size), size, libc::PROT_NONE),
                0
            );
            std::slice::from_raw_parts_mut(pages.cast(), size)
        }
    }

    fn measured(bytes: &[u8]) -> (usize, bool) {
        assert_eq!(bytes.last(), Some(&0));
        // SAFETY: it ends with a NUL.
        unsafe { measure(bytes.as_ptr().cast()) }
    }

    #[test]
    fn a_string_is_measured_wherever_it_lies_also_at_the_end_of_what_can_be_read() {
        let page = page_at_the_edge();
        page.fill(0xff);
        for room in 0..40 {
            for length in 0..70 {
                let end = page.len() - room;
                let place = end - length - 1..end;
                page[place.clone()].fill(b'a');
                page[end - 1] = 0;
                assert_eq!(measured(&page[place.clone()]), (length, true), "{room}");
                for high in place.start..end - 1 {
                    page[high] = 0x80;
                    assert_eq!(measured(&page[place.clone()]), (length, false), "{high}");
                    page[high] = 0x7f;
                }
                page[place].fill(0xff);
            }
        }
    }

    #[test]
    fn a_long_string_is_measured_to_its_end() {
        let mut text = vec![b'x'; 100_001];
        text[100_000] = 0;
        assert_eq!(measured(&text), (100_000, true));
        text[70_000] = 0xc3;
        assert_eq!(measured(&text), (100_000, false));
        text[60_000] = 0;
        assert_eq!(measured(&text), (60_000, true));
    }
}
