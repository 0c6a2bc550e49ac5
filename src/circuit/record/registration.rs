//! What a record is made of, validated and resolved before it exists.
//!
//! A registration hashes the name once, and a bad one is refused before a record is made.
//! The global settings are only looked at if they have changed since they last were, or
//! need room, or if the connection has some of its own.

use std::sync::Arc;

use super::{Limit, Profile, Record};
use crate::circuit::context::Context;
use crate::values::error::Error;
use crate::values::key::Key;
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
        if profile.is_none() && roomy.is_none() && self.word == Word::NEW {
            context.note_plain_limit(limit);
        }
        (self.profile, self.limit, self.roomy) = (profile, limit, roomy);
        Ok(())
    }
}
