//! The flags of an event, in one byte: notices wait in a ring, where each byte counts.

use crate::values::mode::Mode;

/// The flags of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks(u8);

/// The mode is, or was, *disabled*.
const DISABLED: u8 = 1;
/// The text or the metadata is not as it was given.
const ALTERED: u8 = 2;
/// The mode is *shadow*, unless it is disabled.
const SHADOW: u8 = 4;
/// It was done by hand, and takes effect when the circuit is no longer disabled.
const DEFERRED: u8 = 8;

/// Whether what was done by hand takes effect only when the circuit is no longer disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Later {
    No = 0,
    /// It does, and the reason does not say so yet.
    Unsaid = 1,
    Said = DEFERRED,
}

impl Later {
    pub(crate) fn of(is_disabled: bool) -> Self {
        match is_disabled {
            true => Later::Unsaid,
            false => Later::No,
        }
    }
}

impl Marks {
    /// The bits of the mode. The flags of a circuit have them at the same distance.
    pub(crate) const OF_MODE: u8 = DISABLED | SHADOW;

    /// The flags of an event in the mode that these bits say.
    #[inline]
    pub(crate) fn of_mode(bits: u32) -> Self {
        Marks(bits as u8 & Self::OF_MODE)
    }

    #[inline]
    pub(crate) fn altered(self, is_altered: bool) -> Self {
        Marks(self.0 | (u8::from(is_altered) * ALTERED))
    }

    #[inline]
    pub(crate) fn taking_effect(self, later: Later) -> Self {
        Marks(self.0 | (later as u8 & DEFERRED))
    }

    pub(crate) fn is_altered(self) -> bool {
        self.0 & ALTERED != 0
    }

    pub(crate) fn is_deferred(self) -> bool {
        self.0 & DEFERRED != 0
    }

    pub(crate) fn mode(self) -> Mode {
        match self.0 & Self::OF_MODE {
            0 => Mode::Normal,
            SHADOW => Mode::Shadow,
            _ => Mode::Disabled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_independent() {
        let modes = [Mode::Normal, Mode::Disabled, Mode::Shadow, Mode::Disabled];
        for (bits, mode) in [0, 1, 4, 5].into_iter().zip(modes) {
            for is_altered in [false, true] {
                for later in [Later::No, Later::Said] {
                    let marks = Marks::of_mode(bits)
                        .altered(is_altered)
                        .taking_effect(later);
                    assert_eq!(marks.mode(), mode);
                    assert_eq!(marks.is_altered(), is_altered);
                    assert_eq!(marks.is_deferred(), later == Later::Said);
                }
            }
        }
    }
}
