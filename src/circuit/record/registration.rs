//! What a record is made of, validated and resolved before it exists.
//!
//! A registration hashes the name once, and a bad one is refused before a record is made.
//! The global settings are only looked at if they have changed since they last were, or
//! need room, or if the connection has some of its own.

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
    pub(super) profile: Option<Arc<Profile>>,
    /// What its record remembers of the settings in effect.
    pub(super) limit: Limit,
    /// These, if a record needs room for them. Seldom, and large, so apart.
    pub(super) roomy: Option<Box<Settings>>,
    /// The word that the record begins with.
    pub(super) word: Word,
    /// The mode that it begins in.
    pub(super) mode: Mode,
    /// How long the circuit is open from the beginning, if it is.
    pub(super) opening: Option<Opening>,
    /// As of which version.
    pub(crate) version: u32,
}

impl<'a> Registrant<'a> {
    /// One without settings of its own, of a name that is not validated yet.
    #[inline]
    pub(crate) fn new(context: &Context, key: Key<'a>) -> Self {
        Registrant {
            key,
            hash: context.hasher.hash(key),
            profile: None,
            // Read after the version, so that what it is of is at least as new.
            version: context.version(),
            limit: context.plain_limit(),
            roomy: None,
            word: Word::NEW,
            mode: Mode::Normal,
            opening: None,
        }
    }

    /// Validates the name and the options, and works out what is in effect. In place: it
    /// is built once and moved nowhere.
    #[inline]
    pub(crate) fn with(
        &mut self,
        context: &Context,
        options: Option<ConnectionOptions>,
    ) -> Result<(), Error> {
        self.key.validate()?;
        match options {
            Some(options) if options != ConnectionOptions::new() => {
                self.resolve(context, Some(options))
            }
            _ if self.limit.is_of(self.version) => Ok(()),
            _ => self.resolve(context, None),
        }
    }

    /// Open from the beginning, as if by a hand.
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

    /// What follows an opening, if the circuit is open from the beginning. Its registration was
    /// reported.
    #[inline]
    pub(crate) fn announce_opening(&self, context: &Context, record: &Record) {
        if let Some(opening) = self.opening {
            self.announce(context, record, opening);
        }
    }

    #[cold]
    #[inline(never)]
    fn announce(&self, context: &Context, record: &Record, opening: Opening) {
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

    /// Whether its record takes more than a place in the slab.
    #[inline]
    pub(crate) fn is_costly(&self) -> bool {
        self.profile.is_some() || self.roomy.is_some()
    }

    #[cold]
    #[inline(never)]
    fn resolve(
        &mut self,
        context: &Context,
        options: Option<ConnectionOptions>,
    ) -> Result<(), Error> {
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
        let limit = Limit::of(self.version, &settings);
        let roomy = (!Record::has_room(&settings)).then(|| Box::new(settings));
        let tally = match settings.window {
            Some(_) => Tally::empty_at(Position::ZERO),
            None => Tally::NONE,
        };
        self.word = Word::NEW.with_tally(tally).watched(settings.is_watched());
        self.mode = settings.mode;
        let is_plain = profile.is_none() && roomy.is_none() && self.mode == Mode::Normal;
        if is_plain && self.word == Word::NEW {
            context.note_plain_limit(limit);
        }
        (self.profile, self.limit, self.roomy) = (profile, limit, roomy);
        if let Some(ms) = open_ms {
            self.begin_open(context, ms);
        }
        Ok(())
    }
}
