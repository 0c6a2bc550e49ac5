//! The tables, for a terminal and as markdown.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::breakers::Row;
use crate::figures::{Outcome, Spread};
use crate::goals::{Goal, Verdict};
use crate::published;
use crate::scenarios::{Lengths, Scenario};
use crate::study::Study;

/// A table whose first column is text and whose others are numbers.
pub struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Grid {
            header: header.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    fn row(&mut self, first: impl Into<String>, others: impl IntoIterator<Item = String>) {
        let cells = [first.into()].into_iter().chain(others);
        self.rows.push(cells.collect());
    }

    fn table(&self, style: TableStyle) -> Table {
        let mut table = Table::new();
        table.load_style(style);
        table.set_header(&self.header);
        table.add_rows(&self.rows);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    pub fn terminal(&self) -> String {
        let line = LineStyle::none().fill('─').junction('─');
        let table = self.table(TableStyle::new().header_separator(line));
        table.trim_fmt() + "\n"
    }

    pub fn markdown(&self) -> String {
        self.table(ASCII_MARKDOWN).trim_fmt() + "\n"
    }
}

/// A / B of every breaker in every scenario.
pub fn decisions(study: &Study, lengths: Lengths) -> Grid {
    by_scenario(study, lengths, |outcome| {
        format!("{} / {}", number(outcome.a.mean), number(outcome.b.mean))
    })
}

/// A + B of every breaker in every scenario.
pub fn sums(study: &Study, lengths: Lengths) -> Grid {
    by_scenario(study, lengths, |outcome| number(outcome.sum.mean))
}

/// A table by scenario. The best guess is in the scenario's title.
fn by_scenario(study: &Study, lengths: Lengths, cell: impl Fn(&Outcome) -> String) -> Grid {
    let rows = Row::ALL.map(Row::name);
    let mut grid = Grid::new(["scenario".to_owned()].into_iter().chain(rows));
    for (place, scenario) in study.scenarios() {
        let cells = Row::ALL.map(|row| cell(study.outcome(lengths, place, row)));
        grid.row(title(study, lengths, place, scenario), cells);
    }
    grid
}

fn title(study: &Study, lengths: Lengths, place: usize, scenario: &Scenario) -> String {
    match study.best_guess(lengths, place) {
        Some(guess) => format!("{} ({})", scenario.name, number(guess)),
        None => scenario.name.to_owned(),
    }
}

/// One scenario: the mean, the smallest and the largest figure of every breaker.
pub fn spreads(study: &Study, lengths: Lengths, scenario: usize) -> Grid {
    let mut grid = Grid::new(["breaker", "A", "B", "of it outside", "A + B"]);
    for row in Row::ALL {
        let Outcome { a, b, outside, sum } = study.outcome(lengths, scenario, row);
        grid.row(row.name(), [a, b, outside, sum].map(spread));
    }
    grid
}

fn spread(spread: &Spread) -> String {
    let (least, most) = (spread.least as f64, spread.most as f64);
    format!(
        "{} ({}–{})",
        number(spread.mean),
        number(least),
        number(most)
    )
}

pub fn goals(goals: &[Goal]) -> Grid {
    let lengths = Lengths::ALL.map(Lengths::name);
    let mut grid = Grid::new(["goal"].into_iter().chain(lengths));
    for goal in goals {
        grid.row(goal.what, goal.verdicts.iter().map(verdict));
    }
    grid
}

fn verdict(verdict: &Verdict) -> String {
    let all = verdict.scenarios;
    let text = format!("{} of {all}", all - verdict.misses.len());
    let misses = verdict.misses.iter().map(|miss| {
        let (reached, limit) = (number(miss.reached), number(miss.limit));
        format!("; MISSED in {}: {reached}, limit {limit}", miss.scenario)
    });
    text + &misses.collect::<String>()
}

/// The scenario that is run with fewer and more calls a second.
pub fn volumes(study: &Study) -> Grid {
    let rows = Row::ALL.map(Row::name);
    let mut grid = Grid::new(["calls a second".to_owned()].into_iter().chain(rows));
    for (place, scenario) in study.at_volumes() {
        let cells = Row::ALL.map(|row| {
            let outcome = study.outcome(Lengths::Published, place, row);
            format!("{} / {}", number(outcome.a.mean), number(outcome.b.mean))
        });
        grid.row(number(scenario.calls_per_second as f64), cells);
    }
    grid
}

pub fn published() -> Grid {
    let mut grid = Grid::new([
        "scenario",
        "breaker",
        "served per s",
        "before",
        "in degraded phases",
        "afterwards",
    ]);
    for run in &published::ALL {
        let counts = [run.before, run.degraded, run.after].map(|counts| {
            let counts = counts.map(|count| number(count as f64));
            counts.join(" / ")
        });
        let first = [run.breaker.to_owned(), number(run.base as f64)];
        grid.row(run.scenario, first.into_iter().chain(counts));
    }
    grid
}

/// Rounded to a whole number of calls: `1234567` as `1 234 567`. The spaces do not break.
pub fn number(value: f64) -> String {
    let digits = (value.round() as u64).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}
