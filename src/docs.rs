//! The guide, in chapters. [The front page](crate#the-guide) lists them.
//!
//! A chapter is a file of text, which reads well as a file, too: the README links to it, and it
//! names items as they are called, without links. So its page ends with links to the items that it
//! is about. Chapters for those who measure or change the library are modules with text of their
//! own.

/// A chapter: its name, its file, and the items that it is about.
///
/// A file links to other files. The definitions in front of it, which come first and so count,
/// lead to their pages here.
macro_rules! chapters {
    ($($name:ident, $file:literal, $items:literal;)*) => {
        $(
            #[doc = "[async]: crate::docs::async"]
            #[doc = "[c]: crate::docs::c"]
            #[doc = "[callbacks]: crate::docs::events#what-a-callback-may-do"]
            #[doc = "[deployments]: crate::docs::processes#deployments"]
            #[doc = "[figures]: crate::docs::performance#figures"]
            #[doc = "[forks]: crate::docs::threads#forks"]
            #[doc = "[limits]: crate::docs::limits#shared-cache-lines"]
            #[doc = "[modes]: crate::docs::rules#modes"]
            #[doc = "[nested]: crate::docs::recovery#nested-calls"]
            #[doc = "[no-thread]: crate::docs::events#without-a-background-thread"]
            #[doc = "[outages]: crate::docs::outages"]
            #[doc = "[pass-word]: crate::docs::c#the-pass-word"]
            #[doc = "[passing-on]: crate::docs::processes#passing-openings-on"]
            #[doc = "[processes]: crate::docs::processes"]
            #[doc = "[recovery]: crate::docs::recovery"]
            #[doc = "[signals]: crate::docs::limits#signal-handlers"]
            #[doc = "[threads]: crate::docs::threads#the-background-thread"]
            #[doc = "[unused]: crate::docs::start#connections-that-are-not-used"]
            #[doc = "[what-arrives]: crate::docs::events#what-arrives"]
            #[doc = "[what-it-costs]: crate::docs::rules#what-it-costs"]
            #[doc = ""]
            #[doc = include_str!($file)]
            #[doc = ""]
            #[doc = "# Items"]
            #[doc = ""]
            #[doc = $items]
            pub mod $name {}
        )*
    };
}

chapters! {
    start, "docs/start.md",
    "[`Brama`](crate::Brama), [`Builder`](crate::Builder), [`Connection`](crate::Connection),
    [`Key`](crate::Key), [`Permit`](crate::Permit), [`Outcome`](crate::Outcome),
    [`Classified`](crate::Classified), [`CallError`](crate::CallError), [`Error`](crate::Error),
    [`Rejected`](crate::Rejected), [`Status`](crate::Status), [`Cause`](crate::Cause),
    [`OpenFor`](crate::OpenFor), [`InitialState`](crate::InitialState),
    [`ManualClock`](crate::ManualClock)";

    rules, "docs/rules.md",
    "[`ConnectionOptions`](crate::ConnectionOptions), [`Config`](crate::Config),
    [`Builder`](crate::Builder), [`Settings`](crate::Settings), [`Setting`](crate::Setting),
    [`Mode`](crate::Mode), [`Status`](crate::Status),
    [`failure_for`](crate::Connection::failure_for)";

    recovery, "docs/recovery.md",
    "[`Permit::is_probe`](crate::Permit::is_probe), [`RejectionKind`](crate::RejectionKind),
    [`ExpiryStrategy`](crate::ExpiryStrategy), [`Status::ramp_share`](crate::Status::ramp_share)";

    events, "docs/events.md",
    "[`Brama::subscribe`](crate::Brama::subscribe), [`Event`](crate::Event),
    [`EventType`](crate::EventType), [`EventFilter`](crate::EventFilter),
    [`EventQueue`](crate::EventQueue), [`EventCounts`](crate::EventCounts),
    [`Subscription`](crate::Subscription), [`Report`](crate::Report),
    [`Brama::shutdown_within`](crate::Brama::shutdown_within)";

    threads, "docs/threads.md",
    "[`Brama::poll`](crate::Brama::poll), [`Builder::background`](crate::Builder::background),
    [`Connection`](crate::Connection), [`Permit`](crate::Permit)";

    processes, "docs/processes.md",
    "[`Brama::save`](crate::Brama::save), [`Brama::restore`](crate::Brama::restore),
    [`default`](crate::default())";

    r#async, "docs/async.md",
    "[`Connection::call_async`](crate::Connection::call_async),
    [`Connection::acquire_owned`](crate::Connection::acquire_owned),
    [`ConnectionOptions::cancelled_after`](crate::ConnectionOptions::cancelled_after),
    [`EventQueue::as_raw_fd`](crate::EventQueue::as_raw_fd)";

    c, "docs/c.md",
    "The functions of `include/brama.h`.";

    limits, "docs/limits.md",
    "[`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES),
    [`MAX_HALF_OPEN_CALLS`](crate::MAX_HALF_OPEN_CALLS),
    [`MAX_WINDOW_ATTEMPTS`](crate::MAX_WINDOW_ATTEMPTS)";
}

pub mod internals;
pub mod outages;
pub mod performance;

/// The README's examples in Rust, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
