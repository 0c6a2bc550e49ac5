//! The play as text: the changes with their times, a letter for each second, and the totals.

use std::io::{self, Write};

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::lane::{Calls, Lane, Play};
use crate::service::PHASES;

pub fn changes(out: &mut impl Write, play: &Play) -> io::Result<()> {
    let mut lines: Vec<(u64, String)> = PHASES
        .iter()
        .map(|(at, phase)| (*at, format!("the service: {}", phase.label())))
        .collect();
    for lane in &play.lanes {
        let changes = lane.changes.iter();
        lines.extend(
            changes
                .map(|(at, light)| (*at, format!("  {:9} {}", lane.strategy.name, light.label()))),
        );
    }
    // Lines with the same time stay in the order above.
    lines.sort_by_key(|(at, _)| *at);
    for (at, line) in lines {
        writeln!(out, "{:6.2} s  {line}", at as f64 / 1_000.0)?;
    }
    Ok(())
}

/// A letter for each second.
pub fn strips(out: &mut impl Write, play: &Play) -> io::Result<()> {
    writeln!(
        out,
        "\nSecond by second: = all served, + some, x most failed, . most refused\n"
    )?;
    for lane in &play.lanes {
        let letters: String = lane.seconds.iter().map(letter).collect();
        writeln!(out, "  {:9} {letters}", lane.strategy.name)?;
    }
    Ok(())
}

fn letter(calls: &Calls) -> char {
    let Calls {
        served,
        failed,
        refused,
    } = *calls;
    match () {
        () if failed + refused == 0 => '=',
        () if refused > served && refused > failed => '.',
        () if failed > served => 'x',
        () => '+',
    }
}

pub fn totals(out: &mut impl Write, play: &Play) -> io::Result<()> {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(line));
    table.set_header(["", "", "served", "failed", "refused", "well from"]);
    for lane in &play.lanes {
        table.add_row(row(lane));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "\n{}", table.trim_fmt())
}

fn row(lane: &Lane) -> [String; 6] {
    let Calls {
        served,
        failed,
        refused,
    } = lane.total();
    let well = lane.well_since();
    [
        lane.strategy.name.to_owned(),
        lane.strategy.says.to_owned(),
        grouped(served),
        grouped(failed),
        grouped(refused),
        well.map_or("not yet".to_owned(), |ms| format!("{} s", ms / 1_000)),
    ]
}

/// `1234567` as `1 234 567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
