//! The agreed counts, as a text that diffs well.

use std::fs;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::shared;

/// The file of the baseline, from the root of this package.
pub const FILE: &str = "instructions.baseline";

const COMMENT: &str = "\
# Instructions per operation, and how often an operation writes a cache line that another
# thread's operation uses: with 2 threads, with 3, and with 4. Written by
# cargo bench -p brama-bench --bench instructions -- --rewrite
";

/// How much a count may grow, at most.
const GROWTH: f64 = 0.03;

/// How much a count may grow, at most, if the compiler or valgrind
/// is another version. No change of the source causes that growth.
const GROWTH_BY_TOOLS: f64 = 0.10;

/// Fewer instructions than this are rounding, and no growth.
const SLACK: f64 = 0.1;

/// How much the shared writes of the same source may differ between runs, since addresses decide
/// which lines a removal and a registration share. One more write for each operation is above it.
const WAVERING: f64 = 0.05;

pub struct Baseline {
    /// The versions of the compiler and of valgrind.
    pub tools: String,
    pub counts: Vec<(String, Counts)>,
}

#[derive(Clone, Copy)]
pub struct Counts {
    pub instructions: f64,
    /// For each of [`shared::THREADS`].
    pub shared_writes: [f64; shared::THREADS.len()],
}

impl Baseline {
    pub fn read() -> Self {
        let text = fs::read_to_string(path()).unwrap_or_default();
        let mut read = Baseline {
            tools: String::new(),
            counts: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(tools) = line.strip_prefix("tools: ") {
                read.tools = tools.to_owned();
            } else if let Some((name, counts)) = line.rsplit_once(": ") {
                let counts = counts.split_whitespace().map(str::parse);
                let counts: Result<Vec<f64>, _> = counts.collect();
                let counts = counts.ok().and_then(|counts| {
                    let (instructions, shared_writes) = counts.split_first()?;
                    Some(Counts {
                        instructions: *instructions,
                        shared_writes: shared_writes.try_into().ok()?,
                    })
                });
                let Some(counts) = counts else {
                    panic!("{FILE}: {line:?} lacks numbers, or has too many");
                };
                read.counts.push((name.to_owned(), counts));
            }
        }
        read
    }

    pub fn write(&self) {
        let mut text = format!("{COMMENT}tools: {}\n", self.tools);
        for (name, counts) in &self.counts {
            text += &format!("{name}: {:.1}", counts.instructions);
            for writes in counts.shared_writes {
                text += &format!(" {writes:.2}");
            }
            text.push('\n');
        }
        fs::write(path(), text).expect("the source can be written");
    }

    /// Prints how these counts differ from `agreed`. Returns whether all differences are allowed.
    pub fn compare(&self, agreed: &Baseline) -> bool {
        let same_tools = self.tools == agreed.tools;
        let limit = if same_tools { GROWTH } else { GROWTH_BY_TOOLS };
        let mut table = Table::new();
        let line = LineStyle::none().fill('─').junction('─');
        table.load_style(TableStyle::new().header_separator(line));
        table.set_header([
            "operation",
            "instructions",
            "agreed",
            "shared writes, 2/3/4 threads",
            "agreed",
            "",
        ]);
        let mut fine = true;
        for (name, counts) in &self.counts {
            let old = agreed.counts.iter().find(|(old, _)| old == name);
            let old = old.map(|(_, old)| *old);
            let verdict = old.map_or(Err("not in the baseline"), |old| counts.judge(old, limit));
            fine &= verdict.is_ok();
            let [instructions, shared_writes] = counts.shown();
            let [old_instructions, old_writes] = old.map(Counts::shown).unwrap_or_default();
            table.add_row([
                name.clone(),
                instructions,
                old_instructions,
                shared_writes,
                old_writes,
                verdict.map_or_else(|wrong| wrong.to_uppercase(), str::to_owned),
            ]);
        }
        for column in table.column_iter_mut().skip(1).take(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{table}");
        if !same_tools {
            println!(
                "the baseline is of other tools ({}) than these ({}): up to {:.0} % more are \
                 let pass",
                agreed.tools,
                self.tools,
                GROWTH_BY_TOOLS * 100.0
            );
        }
        if !fine {
            println!(
                "to agree to these counts: cargo bench -p brama-bench --bench instructions -- \
                 --rewrite, and commit benches/{FILE}"
            );
        }
        fine
    }
}

impl Counts {
    fn shown(self) -> [String; 2] {
        let writes = self.shared_writes.map(|writes| format!("{writes:.2}"));
        [format!("{:.2}", self.instructions), writes.join(" / ")]
    }

    fn judge(self, old: Counts, limit: f64) -> Result<&'static str, &'static str> {
        let more = self.instructions - old.instructions;
        let mut writes = self.shared_writes.iter().zip(old.shared_writes);
        if writes.any(|(now, old)| *now > old * (1.0 + WAVERING) + 0.01) {
            Err("writes more that is shared")
        } else if more > (old.instructions * limit).max(SLACK) {
            Err("grown")
        } else if -more > (old.instructions * GROWTH).max(SLACK) {
            Ok("less: rewrite the baseline")
        } else {
            Ok("")
        }
    }
}

fn path() -> String {
    format!("{}/{FILE}", env!("CARGO_MANIFEST_DIR"))
}
