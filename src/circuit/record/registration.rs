//! A registration before its record exists: the name, validated and hashed, and the settings,
//! resolved.
//!
//! A registration hashes the name once, and refuses a bad name before it makes a record. It reads
//! the global settings only if they have changed since a registration last did, if they need an
//! allocation, or if the connection has settings of its own.

use std::sync::Arc;

use super::transition::Change;
use super::{Happening, Limit, Opening, Profile, Record};
use crate::circuit::context::Context;
use crate::values::cause::Cause;
use crate::values::error::Error;
use crate::values::event::{Later, Occurrence};
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::settings::{ConnectionOptions, Overrides, Settings};
use crate::values::state::Word;
use crate::values::tally::{Position, Tally};

pub(crate) struct Registrant<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) hash: u64,
    is_valid: bool,
    /// When the registration began, in monotonic ms.
    pub(super) now: u64,
    /// What its record remembers of the settings in effect.
    pub(super) limit: Limit,
    /// The version of the settings that was read before `limit`.
    pub(crate) version: u32,
    /// What only some registrations have. Large and rare, so it is boxed.
    pub(super) special: Option<Box<Special>>,
}

/// What only some registrations have.
pub(super) struct Special {
    pub(super) profile: Option<Arc<Profile>>,
    /// The settings in effect, if a record has to allocate for them.
    pub(super) roomy: Option<Settings>,
    /// The word that the record begins with.
    pub(super) word: Word,
    /// The mode that it begins in.
    pub(super) mode: Mode,
    /// The first opening, if the circuit is open from the beginning.
    pub(super) opening: Option<Opening>,
}

impl<'a> Registrant<'a> {
    /// A registration without settings of its own. [`Registrant::with`] refuses an invalid name.
    #[inline(always)]
    pub(crate) fn new(context: &Context, key: Key<'a>) -> Self {
        // The clock first: it is a call, and registers do not keep values across it.
        let now = context.clock.now();
        let (hash, is_valid) = context.hasher.hash_and_validate(key);
        Registrant {
            key,
            hash,
            is_valid,
            now,
            // The limit is read after the version, so that its settings are at least as new.
            version: context.version(),
            limit: context.plain_limit(),
            special: None,
        }
    }

    /// Whether this is the usual case: the name is valid, and the global settings are unchanged.
    /// Then, without options, [`Registrant::with`] has nothing to do.
    #[inline(always)]
    pub(crate) fn is_usual(&self) -> bool {
        self.is_valid && self.limit.is_of(self.version)
    }

    /// Validates the name and the options, and works out what is in effect.
    pub(crate) fn with(
        &mut self,
        context: &Context,
        options: Option<ConnectionOptions>,
    ) -> Result<(), Error> {
        self.key.validate()?;
        let options = options.filter(|options| *options != ConnectionOptions::new());
        if options.is_some() || !self.is_usual() {
            (self.limit, self.special) = resolve(context, self.version, options)?;
        }
        Ok(())
    }

    /// Reports the opening, if the circuit is open from the beginning. The caller has reported the
    /// registration.
    #[inline]
    pub(crate) fn announce_opening(&self, context: &Context, record: &Record) {
        if let Some(special) = &self.special {
            special.announce_opening(context, record);
        }
    }

    /// Whether its record allocates more than its slot in the slab.
    #[inline]
    pub(crate) fn is_costly(&self) -> bool {
        let needs_room = |special: &Special| special.profile.is_some() || special.roomy.is_some();
        self.special.as_deref().is_some_and(needs_room)
    }
}

impl Special {
    #[cold]
    #[inline(never)]
    fn announce_opening(&self, context: &Context, record: &Record) {
        let Some(opening) = self.opening else {
            return;
        };
        let change = Change {
            before: Word::NEW,
            after: self.word,
        };
        let happening = Happening {
            later: Later::of(self.mode == Mode::Disabled),
            ..Happening::new(Occurrence::OpenedByHand, opening.at)
        };
        record.after_opening(context, change, happening, opening);
    }
}

/// The settings in effect with these options, as of this version. `None` if nothing about them is
/// special.
fn resolve(
    context: &Context,
    version: u32,
    options: Option<ConnectionOptions>,
) -> Result<(Limit, Option<Box<Special>>), Error> {
    let open_ms = match &options {
        Some(options) => options.initial_state.unwrap_or_default().open_ms()?,
        None => None,
    };
    let global = context.global.load();
    let profile = match options {
        Some(options) => Some(Arc::new(Profile {
            overrides: options.applied_to(&Overrides::NONE, &global.overrides)?,
            metadata: options.metadata.unwrap_or_default(),
        })),
        None => None,
    };
    let own = profile.as_deref().map(|profile| &profile.overrides);
    let settings = Overrides::resolve(own, &global.overrides);
    let limit = Limit::of(version, &settings);
    let tally = match settings.window {
        Some(_) => Tally::empty_at(Position::ZERO),
        None => Tally::NONE,
    };
    let mut special = Special {
        profile,
        word: Word::NEW.with_tally(tally).watched(settings.is_watched()),
        mode: settings.mode,
        roomy: (!Record::has_room(&settings)).then_some(settings),
        opening: None,
    };
    if special.is_plain() {
        context.note_plain_limit(limit);
        return Ok((limit, None));
    }
    if let Some(ms) = open_ms {
        special.begin_open(context, ms);
    }
    Ok((limit, Some(Box::new(special))))
}

impl Special {
    /// Whether the record is that of any connection without settings of its own.
    fn is_plain(&self) -> bool {
        self.profile.is_none()
            && self.roomy.is_none()
            && self.mode == Mode::Normal
            && self.word == Word::NEW
    }

    /// Makes the circuit open from the beginning, as if opened by hand.
    fn begin_open(&mut self, context: &Context, ms: u64) {
        let opening = Opening {
            at: context.clock.now_upper(),
            lasting: ms,
            cause: Cause::Manual,
            is_restored: false,
        };
        self.word = Word::born_open(opening.deadline());
        self.opening = Some(opening);
    }
}
