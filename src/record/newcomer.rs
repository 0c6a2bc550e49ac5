//! What a record is made of, judged and worked out before it exists.
//!
//! A registration hashes the name once, and is refused before anything is allocated. The
//! global settings are only looked at if they have changed since they last were, or if
//! the connection has some of its own.

use std::sync::Arc;

use super::{Limit, Profile, Record};
use crate::config::{ConnectionOptions, Overrides, Settings};
use crate::env::Env;
use crate::error::Error;
use crate::key::Key;

pub(crate) struct Newcomer<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) hash: u64,
    pub(super) profile: Option<Arc<Profile>>,
    /// What its record remembers of the settings in effect.
    pub(super) limit: Limit,
    /// These, if a record needs room for them. Seldom, and large, so apart.
    pub(super) roomy: Option<Box<Settings>>,
    /// As of which version.
    pub(crate) version: u32,
}

impl<'a> Newcomer<'a> {
    pub(crate) fn new(
        env: &Env,
        key: Key<'a>,
        options: Option<ConnectionOptions>,
    ) -> Result<Self, Error> {
        key.validate()?;
        // First: what is loaded after it is at least as new.
        let version = env.version();
        let hash = env.hasher.hash(key);
        let plain = Newcomer {
            key,
            hash,
            profile: None,
            limit: env.plain_limit(),
            roomy: None,
            version,
        };
        match options {
            Some(options) if options != ConnectionOptions::new() => plain.with(env, Some(options)),
            _ if plain.limit.is_of(version) => Ok(plain),
            _ => plain.with(env, None),
        }
    }

    #[cold]
    #[inline(never)]
    fn with(self, env: &Env, options: Option<ConnectionOptions>) -> Result<Self, Error> {
        let global = env.global.load();
        let profile = match options {
            Some(options) => {
                options.overrides.validate()?;
                options.overrides.validate_over(&global.overrides)?;
                Some(Arc::new(Profile {
                    overrides: options.overrides,
                    metadata: options.metadata.unwrap_or_default(),
                }))
            }
            None => None,
        };
        let own = profile.as_deref().map(|profile| &profile.overrides);
        let settings = Overrides::resolve(own, &global.overrides);
        let limit = Limit::of(self.version, &settings);
        let roomy = (!Record::has_room(&settings)).then(|| Box::new(settings));
        if profile.is_none() && roomy.is_none() {
            env.note_plain_limit(limit);
        }
        Ok(Newcomer {
            profile,
            limit,
            roomy,
            ..self
        })
    }
}
