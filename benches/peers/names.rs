//! Names for the benches by name: a short scope and a short identifier.

use ahash::RandomState;

/// Names in the order in which they are used. Their texts lie one after the
/// other in memory, so reading a name costs the same at every number of
/// connections. A program that has just received a name has that cost, too.
pub struct Names {
    text: String,
    /// Where the scope begins, where the identifier does, and its end.
    parts: Vec<[u32; 3]>,
}

impl Names {
    pub fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut names = Names {
            text: String::new(),
            parts: Vec::new(),
        };
        for number in numbers {
            let begin = names.text.len() as u32;
            names.text += &format!("team_{}", number % 7);
            let middle = names.text.len() as u32;
            names.text += &format!("service_{number:04}");
            let end = names.text.len() as u32;
            names.parts.push([begin, middle, end]);
        }
        names
    }

    /// Random names among the first `among`: at least `at_least`, rounded up to a power of two.
    pub fn random(among: usize, at_least: usize) -> Self {
        let random = RandomState::with_seeds(1, 2, 3, 4);
        let count = at_least.next_power_of_two() as u64;
        Self::of((0..count).map(|turn| (random.hash_one(turn) % among as u64) as usize))
    }

    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Scope and identifier of this turn; the number of names is a power of two.
    #[inline]
    pub fn at(&self, turn: u64) -> (&str, &str) {
        let [begin, middle, end] = self.parts[turn as usize & (self.parts.len() - 1)];
        let text = &self.text;
        (
            &text[begin as usize..middle as usize],
            &text[middle as usize..end as usize],
        )
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().map(|&[begin, middle, end]| {
            let text = &self.text;
            (
                &text[begin as usize..middle as usize],
                &text[middle as usize..end as usize],
            )
        })
    }
}
