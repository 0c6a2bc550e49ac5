//! `available` by name: all threads look up the same thousand
//! names, in the same random order, at a distance from each other.

use std::hint::black_box;

use brama::Brama;

use crate::peers::maps::{Dash, Locked, Map, Papaya, Scc, SccIndex};
use crate::peers::names::Names;
use crate::race::{Race, Timed};

const SIZE: usize = 1_000;

fn filled<M: Map>() -> M {
    let map = M::new();
    for name in Names::of(0..SIZE).iter() {
        assert!(map.insert(name));
    }
    map
}

fn add<'a, T>(
    mut race: Race<'a>,
    name: &str,
    counts: &[usize],
    names: &'a Names,
    find: impl Fn((&str, &str)) -> T + Sync + Copy + 'a,
) -> Race<'a> {
    for count in counts {
        let apart = (names.len() / count) as u64;
        race = race.made(name, *count, move |who| {
            let from = who as u64 * apart;
            move |turn| find(black_box(names.at(from + turn)))
        });
    }
    race
}

fn add_map<'a, M: Map>(race: Race<'a>, map: &'a M, counts: &[usize], names: &'a Names) -> Race<'a> {
    add(race, M::NAME, counts, names, |name| map.get(name))
}

pub fn run(race: Race<'_>, counts: &[usize]) -> Vec<Timed> {
    let brama = Brama::builder().build().expect("valid");
    for name in Names::of(0..SIZE).iter() {
        brama.register(name, None).expect("a new name");
    }
    let names = Names::random(SIZE, 16 * SIZE);
    let (locked, papaya) = (filled::<Locked>(), filled::<Papaya>());
    let (dash, scc, index) = (filled::<Dash>(), filled::<Scc>(), filled::<SccIndex>());
    let race = add(race, "brama", counts, &names, |name| brama.available(name));
    let race = add_map(race, &locked, counts, &names);
    let race = add_map(race, &papaya, counts, &names);
    let race = add_map(race, &dash, counts, &names);
    let race = add_map(race, &scc, counts, &names);
    add_map(race, &index, counts, &names).measured()
}
