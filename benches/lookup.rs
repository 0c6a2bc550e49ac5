//! Finding a connection by name: `cargo bench -p brama-bench --bench lookup`.
//!
//! A thousand, a hundred thousand and a million names, looked up in random order,
//! present or not, beside concurrent maps that keep one word for each name.

mod peers;
mod race;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use brama::Brama;
use peers::maps::{self, Dash, Locked, Map, Papaya, Scc, SccIndex};
use peers::names::Names;
use race::Race;

/// How many names, at least, are looked up before they repeat. So with a
/// million names, those of the last round are not in the caches any more.
const ROUND: usize = 1 << 14;

fn main() {
    for (size, name) in [(1_000, "1 k"), (100_000, "100 k"), (1_000_000, "1 M")] {
        race(size, name);
    }
}

fn filled<M: Map>(size: usize) -> M {
    let map = M::new();
    for name in Names::of(0..size).iter() {
        assert!(map.insert(name));
    }
    map
}

/// The two threads look up the same names, at a distance.
fn add<'a, T>(
    race: Race<'a>,
    name: &str,
    names: &'a Names,
    find: impl Fn((&str, &str)) -> T + Sync + Copy + 'a,
) -> Race<'a> {
    let make = move |who: usize| {
        let from = (who * names.len() / 2) as u64;
        move |turn| find(names.at(from + turn))
    };
    race.made(name, 1, make).made(name, 2, make)
}

fn add_map<'a, M: Map>(race: Race<'a>, map: &'a M, names: &'a Names) -> Race<'a> {
    add(race, M::NAME, names, |name| map.get(name))
}

fn race(size: usize, name: &str) {
    let brama = Brama::builder().build().unwrap();
    for name in Names::of(0..size).iter() {
        brama.register(name, None).unwrap();
    }
    let locked: Locked = filled(size);
    let papaya: Papaya = filled(size);
    let dash: Dash = filled(size);
    let scc: Scc = filled(size);
    let index: SccIndex = filled(size);
    let words: Vec<AtomicU64> = (0..size).map(|_| AtomicU64::new(0)).collect();
    let random = RandomState::new();

    let known = Names::random(size, size.max(ROUND));
    let others = (size..2 * size)
        .cycle()
        .take(size.max(ROUND).next_power_of_two());
    let unknown = Names::of(others);
    // Long enough to look up every name at least once, or more names than the caches hold.
    let length = Duration::from_millis(if size > 1_000 { 25 } else { 3 });
    for (kind, names) in [("hit", &known), ("miss", &unknown)] {
        let found = kind == "hit";
        assert_eq!(brama.available(names.at(7)), found);
        assert_eq!(locked.get(names.at(7)).is_some(), found);
        let race = Race::new(format!("{name}, {kind}")).laps(11, length);
        let race = add(race, "brama", names, |name| brama.available(name));
        let race = add_map(race, &locked, names);
        let race = add_map(race, &papaya, names);
        let race = add_map(race, &dash, names);
        let race = add_map(race, &scc, names);
        let race = add_map(race, &index, names);
        let race = add(race, "floor: reading and hashing the name", names, |name| {
            maps::hash(&random, name)
        });
        let race = add(race, "floor: and one word at that place", names, |name| {
            let hash = u128::from(maps::hash(&random, name));
            let place = (hash * words.len() as u128) >> 64;
            words[place as usize].load(Ordering::Acquire)
        });
        race.both("floor: epoch pin", |_| {
            drop(black_box(crossbeam_epoch::pin()))
        })
        .run();
    }
}
