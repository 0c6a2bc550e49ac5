//! What subscribers hear of a connection's life: its registration first and once, and its removal
//! if they have heard of the registration. A full ring may lose both events, but not one of them
//! alone.
//!
//! | mutation | caught by |
//! |---|---|
//! | `no-registration-first`, `a-settled-registration-delivered`, `claiming-a-registration-by-a-store`, `taking-a-registration-by-a-store` | `a_registration_is_delivered_before_the_removal` |
//! | `a-first-subscriber-without-the-token` | `a_first_subscriber_receives_no_registration_of_what_was_there` |
//! | `a-later-subscriber-with-the-token` | `a_registration_is_owed_to_a_subscriber_that_another_follows` |
//! | `forgetting-by-a-store`, `beginning-delivery-by-a-store`, `forgetting-what-was-delivered`, `delivering-what-was-forgotten` | `a_registration_that_waits_in_the_ring_is_delivered_whole_or_not_at_all` |
//! | `a-registration-without-its-removal`, `taking-a-removal-without-a-fence`, `publishing-a-removal-without-a-fence`, `claiming-a-removal-by-a-store`, `offering-before-the-beginning` | `a_registration_that_was_delivered_has_its_removal_delivered` |

use std::collections::BTreeSet;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::circuit::context::Context;
use crate::circuit::event_sink::EventSink;
use crate::circuit::record::{RecordRef, Registrant};
use crate::events::bus::Bus;
use crate::events::bus::Dispatched;
use crate::events::bus::Notices;
use crate::events::subscriber::{Sink, Subscriber};
use crate::sys::atomic::{fence, fence_after_rmw};
use crate::sys::clock::Clock;
use crate::sys::manual_clock::ManualClock;
use crate::values::event::{Event, EventFilter, EventType, Occurrence};
use crate::values::settings::Global;

/// One connection that is registered and removed, and its subscribers.
struct World {
    context: Context,
    bus: std::sync::Arc<Bus>,
    record: RecordRef,
    /// 1: the record can be found.
    table: AtomicU32,
    heard: std::sync::Arc<std::sync::Mutex<Vec<Event>>>,
    /// Two subscribers whose callbacks write to `heard`. They are made beforehand, since loom does
    /// not see how the list of subscribers is handed over.
    subscribers: [std::sync::Arc<Subscriber>; 2],
}

fn life() -> EventFilter {
    EventFilter::new().types([EventType::Registration, EventType::ConnectionRemoved])
}

fn record_of(context: &Context, name: &str) -> RecordRef {
    let mut registrant = Registrant::new(context, name.into());
    registrant.with(context, None).expect("valid");
    let [record, _] = RecordRef::new(context, &mut registrant);
    record
}

impl World {
    /// A world without a subscriber.
    fn new() -> Self {
        let bus = std::sync::Arc::new(Bus::new(Notices::new(2)));
        let context = Context::new(
            Clock::Manual(ManualClock::new()),
            Global::default(),
            bus.clone(),
            None,
        );
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let subscribers = [1, 2].map(|id| {
            let heard = heard.clone();
            let hear = move |event: &Event| heard.lock().unwrap().push(event.clone());
            std::sync::Arc::new(Subscriber::new(id, life(), Sink::Each(Box::new(hear))))
        });
        World {
            record: record_of(&context, "db"),
            table: AtomicU32::new(0),
            heard,
            subscribers,
            context,
            bus,
        }
    }

    /// A world with a subscriber, and a ring that was full before the connection was made.
    fn without_room() -> Self {
        let mut world = World::new();
        world.subscribe(0);
        let fillers = [(); 3].map(|()| record_of(&world.context, "filler"));
        // Two events fill the ring; the third finds it full and records that.
        fillers
            .iter()
            .for_each(|one| one.notify_registration(&world.context));
        world.record = record_of(&world.context, "db");
        world
    }

    /// [`World::without_room`], but the connection's registration waits in the ring, which is full
    /// again.
    fn with_the_last_room() -> Self {
        let world = World::without_room();
        world.bus.discard(Vec::new());
        world.register();
        record_of(&world.context, "filler").notify_registration(&world.context);
        world
    }

    /// Registers as the engine does.
    fn register(&self) {
        self.table.swap(1, Ordering::AcqRel);
        fence_after_rmw();
        if self.bus.has_audience() {
            self.record.notify_registration(&self.context);
        }
    }

    /// Unregisters as the engine does. Returns false if there is no connection.
    fn unregister(&self) -> bool {
        let found = self.table.load(Ordering::Acquire) == 1 && self.record.retire();
        if found {
            self.record
                .notify_removal(&self.context, &*self.bus, Occurrence::Unregistered);
        }
        found
    }

    fn is_there(&self) -> bool {
        self.table.load(Ordering::Acquire) == 1 && !self.record.is_retired()
    }

    /// Subscribes as the engine does. Returns whether it finds the connection.
    fn subscribe(&self, number: usize) -> bool {
        let bus = &*self.bus;
        let subscriber = &self.subscribers[number];
        let (changing, is_first) = bus.add(subscriber.clone());
        fence(crate::sys::atomic::Ordering::SeqCst);
        let finds = self.is_there();
        if finds {
            let wanted = life().interest_in(self.record.key());
            self.record.add_interest(wanted, is_first, bus);
        }
        subscriber.begin();
        drop(changing);
        fence(crate::sys::atomic::Ordering::SeqCst);
        finds
    }

    /// One turn of the driver.
    fn round(&self) {
        let late = || {
            let waiting = self.context.attention.take_all();
            let mut late: Vec<_> = waiting.filter(|record| record.has_missed()).collect();
            if self.bus.take_unlisted() && self.is_there() && self.record.has_missed() {
                late.push(self.record.share());
            }
            late
        };
        let dispatched = self.bus.dispatch(&self.context, late, &Default::default);
        assert_eq!(dispatched, Dispatched::Done);
    }

    /// The types of all events of the connection that were delivered in the end.
    fn heard(&self) -> Vec<EventType> {
        self.round();
        self.round();
        let events = std::mem::take(&mut *self.heard.lock().unwrap());
        assert!(events.is_sorted_by_key(|event| event.sequence()));
        let of_it = events
            .iter()
            .filter(|event| event.registration() == self.record.id());
        of_it.map(|event| event.event_type()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.context.attention.take_all().for_each(drop);
    }
}

type Heard = Vec<&'static str>;

/// Runs `parties` at once, and asserts that the set of what subscribers hear is `expected`.
fn expect(
    preemptions: usize,
    begin: fn() -> World,
    parties: &'static [fn(&World)],
    expected: &[&'static [&'static str]],
) {
    let expected: BTreeSet<Heard> = expected.iter().map(|heard| heard.to_vec()).collect();
    let allowed = expected.clone();
    let is_allowed = move |heard: &Heard| allowed.contains(heard);
    assert_eq!(outcomes(preemptions, begin, parties, is_allowed), expected);
}

/// Runs `parties` at once. Returns the set of what subscribers hear, and asserts that each element
/// is allowed.
fn outcomes(
    preemptions: usize,
    begin: fn() -> World,
    parties: &'static [fn(&World)],
    is_allowed: impl Fn(&Heard) -> bool + Send + Sync + 'static,
) -> BTreeSet<Heard> {
    let all = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let seen = all.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        let world = Arc::new(begin());
        let running: Vec<_> = parties
            .iter()
            .map(|party| {
                let world = world.clone();
                thread::spawn(move || party(&world))
            })
            .collect();
        for party in running {
            party.join().unwrap();
        }
        let heard = world.heard().iter().map(|kind| kind.as_str()).collect();
        assert!(is_allowed(&heard), "{heard:?}");
        seen.lock().unwrap().insert(heard);
    });
    let outcomes = all.lock().unwrap().clone();
    outcomes
}

const COMES: &str = "registration";
const GOES: &str = "connection_removed";

fn registers(world: &World) {
    world.register();
}

fn unregisters(world: &World) {
    world.unregister();
}

fn subscribes(world: &World) {
    world.subscribe(1);
}

fn finds_and_unregisters(world: &World) {
    assert!(world.subscribe(1), "it is there");
    world.unregister();
}

fn dispatches(world: &World) {
    world.round();
}

#[test]
fn a_registration_is_delivered_before_the_removal() {
    let begin = || {
        let world = World::new();
        world.subscribe(0);
        world
    };
    let expected: &[&[&str]] = &[&[COMES], &[COMES, GOES]];
    expect(2, begin, &[registers, unregisters, dispatches], expected);
}

#[test]
fn a_connection_that_comes_and_goes_is_delivered_whole_or_not_at_all() {
    let begin = || {
        let world = World::without_room();
        world.register();
        world
    };
    let expected: &[&[&str]] = &[&[], &[COMES, GOES]];
    expect(3, begin, &[unregisters, dispatches], expected);
}

#[test]
fn a_registration_that_waits_in_the_ring_is_delivered_whole_or_not_at_all() {
    let expected: &[&[&str]] = &[&[], &[COMES, GOES]];
    let begin = World::with_the_last_room;
    expect(3, begin, &[unregisters, dispatches], expected);
}

#[test]
fn without_room_too_a_registration_is_delivered_before_the_removal() {
    let expected: &[&[&str]] = &[&[], &[COMES], &[COMES, GOES]];
    let begin = World::without_room;
    expect(1, begin, &[registers, unregisters, dispatches], expected);
}

/// A subscriber subscribes while the connection is registered and removed. If it does not find the
/// connection, it hears of it from the registration on.
#[test]
fn a_first_subscriber_receives_what_it_did_not_find() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 20_000;
    builder.check(|| {
        let world = Arc::new(World::new());
        let found = Arc::new(Mutex::new(false));
        let party = |work: fn(&World, &Mutex<bool>)| {
            let (world, found) = (world.clone(), found.clone());
            thread::spawn(move || work(&world, &found))
        };
        let parties = [
            party(|world, _| world.register()),
            party(|world, _| {
                world.unregister();
            }),
            party(|world, found| *found.lock().unwrap() = world.subscribe(1)),
        ];
        for party in parties {
            party.join().unwrap();
        }
        let heard: Vec<_> = world.heard().iter().map(|kind| kind.as_str()).collect();
        let found = *found.lock().unwrap();
        match heard[..] {
            // The subscriber found the connection, or the connection is gone.
            [] => assert!(found || world.record.is_retired()),
            [COMES, GOES] => {}
            [COMES] => assert!(!world.record.is_retired()),
            [GOES] => assert!(found, "it was not there, and its registration is missing"),
            _ => panic!("{heard:?}"),
        }
    });
}

/// The first subscriber finds a connection that was registered before it subscribed.
#[test]
fn a_first_subscriber_receives_no_registration_of_what_was_there() {
    let begin = || {
        let world = World::new();
        world.register();
        world
    };
    expect(2, begin, &[finds_and_unregisters, dispatches], &[&[GOES]]);
}

/// A second subscriber finds the connection before its registration is delivered to the first one.
#[test]
fn a_registration_is_owed_to_a_subscriber_that_another_follows() {
    let begin = || {
        let world = World::new();
        world.subscribe(0);
        world
    };
    // Both subscribers write to the same list.
    let is_allowed = |heard: &Heard| [vec![COMES], vec![COMES, COMES]].contains(heard);
    outcomes(2, begin, &[registers, subscribes], is_allowed);
}

/// The registration waits in the ring for one subscriber, and no subscriber wants the removal. Then
/// a subscriber that wants both subscribes.
#[test]
fn a_registration_that_was_delivered_has_its_removal_delivered() {
    let begin = || {
        let world = World::new();
        let filter = EventFilter::new().types([EventType::Registration]);
        let elsewhere = Sink::Each(Box::new(|_| ()));
        let subscriber = std::sync::Arc::new(Subscriber::new(7, filter, elsewhere));
        subscriber.begin();
        drop(world.bus.add(subscriber).0);
        world.register();
        world
    };
    let is_allowed = |heard: &Heard| [vec![], vec![GOES], vec![COMES, GOES]].contains(heard);
    let heard = outcomes(2, begin, &[unregisters, subscribes, dispatches], is_allowed);
    assert!(heard.contains(&vec![COMES, GOES]), "{heard:?}");
}
