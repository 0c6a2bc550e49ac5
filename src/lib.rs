//! brama
mod bell;
mod bus;
mod clock;
mod config;
mod connection;
mod counter;
mod driver;
mod engine;
mod env;
mod error;
mod expiry;
mod inbox;
mod key;
mod manager;
mod probes;
mod reclaim;
mod record;
mod state;
mod sync;
mod table;
mod trip;
mod window;

#[cfg(all(loom, test))]
mod models;

pub use clock::ManualClock;
pub use config::{
    Config, ConnectionOptions, ExpiryStrategy, MAX_HALF_OPEN_CALLS, MAX_WINDOW_ATTEMPTS, Metadata,
    Settings,
};
pub use connection::{Connection, Outcome, Permit};
pub use error::{CallError, Error, Invalid, Rejected};
pub use key::{Key, KeyBuf, MAX_NAME_BYTES};
pub use manager::{Brama, Builder, StateCounts, default};
pub use record::{OpenFor, Status};
pub use state::State;
