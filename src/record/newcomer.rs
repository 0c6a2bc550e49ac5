//! What a record is made of, judged and worked out before it exists.
//!
//! A registration reads the global settings once, hashes the name once, and is refused
//! before anything is allocated.

use std::sync::Arc;

use super::Profile;
use crate::config::{ConnectionOptions, Overrides, Settings};
use crate::env::Env;
use crate::error::Error;
use crate::key::Key;

pub(crate) struct Newcomer<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) hash: u64,
    pub(super) profile: Option<Arc<Profile>>,
    /// What is in effect, and as of which version.
    pub(super) settings: Settings,
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
        let global = env.global.load();
        let profile = match options {
            Some(options) if options != ConnectionOptions::new() => {
                options.overrides.validate()?;
                options.overrides.validate_over(&global.overrides)?;
                Some(Arc::new(Profile {
                    overrides: options.overrides,
                    metadata: options.metadata.unwrap_or_default(),
                }))
            }
            _ => None,
        };
        let own = profile.as_deref().map(|profile| &profile.overrides);
        Ok(Newcomer {
            key,
            hash: env.hasher.hash(key),
            settings: Overrides::resolve(own, &global.overrides),
            profile,
            version,
        })
    }
}
