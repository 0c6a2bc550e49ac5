//! The counts that were agreed on, as a text that diffs well.

use std::fs;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

/// Where they are, from the root of this package.
pub const FILE: &str = "instructions.baseline";

const COMMENT: &str = "\
# Instructions per operation, and how often an operation writes a cache line that
# another thread's operation uses. Written by
# cargo bench -p brama-bench --bench instructions -- --rewrite
";

/// How much a count may grow, at most.
const GROWTH: f64 = 0.03;

/// The same with another compiler, which is nobody's doing.
const GROWTH_BY_TOOLS: f64 = 0.10;

/// Fewer instructions than this are no growth: they are what rounding leaves.
const SLACK: f64 = 0.1;

pub struct Baseline {
    /// The versions of the compiler and of valgrind.
    pub tools: String,
    pub counts: Vec<(String, Counts)>,
}

#[derive(Clone, Copy)]
pub struct Counts {
    pub instructions: f64,
    pub shared_writes: f64,
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
            } else if let Some((name, counts)) = line.split_once(": ") {
                let mut counts = counts.split_whitespace().map(str::parse);
                let (Some(Ok(instructions)), Some(Ok(shared_writes))) =
                    (counts.next(), counts.next())
                else {
                    panic!("{FILE}: {line:?} has no two numbers");
                };
                let counts = Counts {
                    instructions,
                    shared_writes,
                };
                read.counts.push((name.to_owned(), counts));
            }
        }
        read
    }

    pub fn write(&self) {
        let mut text = format!("{COMMENT}tools: {}\n", self.tools);
        for (name, counts) in &self.counts {
            text += &format!(
                "{name}: {:.1} {:.2}\n",
                counts.instructions, counts.shared_writes
            );
        }
        fs::write(path(), text).expect("the source can be written");
    }

    /// Prints how these counts differ from `agreed`, and says whether that is fine.
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
            "shared writes",
            "agreed",
            "",
        ]);
        let mut fine = true;
        for (name, counts) in &self.counts {
            let old = agreed.counts.iter().find(|(old, _)| old == name);
            let old = old.map(|(_, old)| *old);
            let verdict = old.map_or(Err("not in the baseline"), |old| counts.judge(old, limit));
            fine &= verdict.is_ok();
            let number = |value: Option<f64>| value.map_or(String::new(), |it| format!("{it:.2}"));
            table.add_row([
                name.clone(),
                number(Some(counts.instructions)),
                number(old.map(|old| old.instructions)),
                number(Some(counts.shared_writes)),
                number(old.map(|old| old.shared_writes)),
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
    fn judge(self, old: Counts, limit: f64) -> Result<&'static str, &'static str> {
        let more = self.instructions - old.instructions;
        if self.shared_writes > old.shared_writes + 0.01 {
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
