//! Connections that come and go: `cargo bench -p brama-bench --bench churn`.
//!
//! A turn registers a name and unregisters it, while a hundred thousand others stay.
//! Two threads have names of their own. The maps insert and remove a key and one
//! word. `brama` makes a connection with all its counters, and removes it. (scc's
//! `HashIndex`, made for reading, takes a hundred times as long as its `HashMap`.)

mod peers;
mod race;

use std::time::Duration;

use brama::Brama;
use peers::maps::{Dash, Locked, Map, Papaya, Scc};
use peers::names::Names;
use race::Race;

const STANDING: usize = 100_000;

/// How many names come and go, for each thread.
const GUESTS: usize = 1 << 14;

fn filled<M: Map>() -> M {
    let map = M::new();
    for name in Names::of(0..STANDING).iter() {
        assert!(map.insert(name));
    }
    map
}

fn add<'a>(
    race: Race<'a>,
    name: &str,
    guests: &'a [Names; 2],
    turn: impl Fn((&str, &str)) -> bool + Sync + Copy + 'a,
) -> Race<'a> {
    let make = move |who: usize| {
        let names = &guests[who];
        move |number| assert!(turn(names.at(number)))
    };
    race.made(name, 1, make).made(name, 2, make)
}

fn add_map<'a, M: Map>(race: Race<'a>, map: &'a M, guests: &'a [Names; 2]) -> Race<'a> {
    add(race, M::NAME, guests, |name| {
        map.insert(name) && map.remove(name)
    })
}

fn main() {
    let brama = Brama::builder().build().unwrap();
    for name in Names::of(0..STANDING).iter() {
        brama.register(name, None).unwrap();
    }
    let locked: Locked = filled();
    let papaya: Papaya = filled();
    let dash: Dash = filled();
    let scc: Scc = filled();
    let guests = [0, 1].map(|who| {
        let first = STANDING + who * GUESTS;
        Names::of(first..first + GUESTS)
    });
    let guests = &guests;

    let race = Race::new("churn").laps(31, Duration::from_millis(8));
    let race = add(race, "brama", guests, |name| {
        brama.register(name, None).is_ok() && brama.unregister(name).is_ok()
    });
    let race = add_map(race, &locked, guests);
    let race = add_map(race, &papaya, guests);
    let race = add_map(race, &dash, guests);
    let race = add_map(race, &scc, guests);
    race.run();
}
