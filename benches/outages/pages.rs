//! The results in the documentation: the part of the README between two markers, and the page with
//! all tables. The bench writes both whole, including the sentences with figures, or compares them.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::breakers::Row;
use crate::goals::{self, Goal};
use crate::page::Page;
use crate::scenarios::Lengths;
use crate::study::Study;
use crate::tables::{self, number};

const BEGIN: &str = "<!-- Written by `cargo bench -p brama-bench --bench outages`. -->\n";
const END: &str = "<!-- Up to here. -->\n";

pub fn all(study: &Study) -> io::Result<[Page; 2]> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = Page::between(&root, "README.md", [BEGIN, END], &summary(study))?;
    let tables = Page::new(&root, "src/docs/figures/outages.md", everything(study));
    Ok([readme, tables])
}

/// The part of the README: the results for the published lengths.
fn summary(study: &Study) -> String {
    let goals = goals::all(study);
    let mut text = format!(
        "\n{}\n",
        tables::decisions(study, Lengths::Published).markdown()
    );
    text += &beside(study);
    text.push('\n');
    text += &reached(&goals);
    text
}

/// The sentences below the table.
fn beside(study: &Study) -> String {
    let of = |name, row| *study.outcome(Lengths::Published, study.number(name), row);
    let (ours, classic) = (Row::BRAMA_SHARED, Row::CLASSIC_OWN);
    let (spike, sustained) = ("spike 20 %", "sustained 20 %");
    let a = |name, row| number(of(name, row).a.mean);
    let b = |name, row| number(of(name, row).b.mean);
    let mut text = format!(
        "- **Fewer failures have a price.** At 20 % errors semian's classic breaker lets fewer failing \
         calls through than `brama` does: {} against {} in the spike, {} against {} in the sustained \
         outage. It refuses {} and {} healthy calls for that. If one failure costs you more than four \
         healthy calls, choose a lower `failure_rate`.\n",
        a(spike, classic),
        a(spike, ours),
        a(sustained, classic),
        a(sustained, ours),
        b(spike, classic),
        b(sustained, classic),
    );
    text += "- **No breaker wins everything.** While a share of the calls fails at random, no breaker can \
             tell which call will fail. The more failing calls it stops, the more healthy ones it \
             refuses. So fewer of both in all nine scenarios is impossible: five of them leave no room.\n";
    text += "- **Share the circuit.** With a circuit for each worker, each learns from its own calls only. \
             In the last two scenarios these are one in two seconds to each service, too few for these \
             settings.\n";
    text += "- **The verdicts hold at 300 calls a second.**";
    for (place, scenario) in study.at_volumes() {
        let of = |row| study.outcome(Lengths::Published, place, row);
        let better = of(classic).sum.mean.min(of(Row::ADAPTIVE_OWN).sum.mean);
        let _ = write!(
            text,
            " With {} a second, A + B of the three spikes is {}; the better of semian's breakers has {}. \
             A is {}; semian's classic breaker has {}.",
            number(scenario.calls_per_second as f64),
            number(of(ours).sum.mean),
            number(better),
            number(of(ours).a.mean),
            number(of(classic).a.mean),
        );
    }
    text.push('\n');
    text
}

fn reached(goals: &[Goal]) -> String {
    let verdicts = || goals.iter().flat_map(|goal| &goal.verdicts);
    let all: usize = verdicts().map(|verdict| verdict.scenarios).sum();
    let missed: usize = verdicts().map(|verdict| verdict.misses.len()).sum();
    let mut text = format!(
        "Of {all} goals, {} are reached and {missed} missed. Half of them are for the published lengths of \
         the outages, half for varied ones.\n",
        all - missed,
    );
    if missed > 0 {
        text.push('\n');
    }
    for goal in goals {
        for (verdict, lengths) in goal.verdicts.iter().zip(Lengths::ALL) {
            for miss in &verdict.misses {
                let _ = writeln!(
                    text,
                    "- MISSED, {}: {}, in {}: {}, limit {}",
                    lengths.name(),
                    goal.what,
                    miss.scenario,
                    number(miss.reached),
                    number(miss.limit),
                );
            }
        }
    }
    text
}

/// The page with all tables.
fn everything(study: &Study) -> String {
    let mut text = format!(
        "Written by `cargo bench -p brama-bench --bench outages`. Calls, mean of {} seeds.\n\n",
        study.seeds
    );
    for lengths in Lengths::ALL {
        let _ = writeln!(
            text,
            "## A / B, {}\n\nBeside a scenario: A + B of the best guess.\n\n{}\n## A + B, {0}\n\n{}",
            lengths.name(),
            tables::decisions(study, lengths).markdown(),
            tables::sums(study, lengths).markdown(),
        );
    }
    let goals = goals::all(study);
    let _ = writeln!(
        text,
        "## Goals\n\nIn how many scenarios each is reached. \"Semian's\" is the better of its two breakers with own\n\
         circuits, figure by figure.\n\n{}\n{}\n## What else to know\n\n{}",
        tables::goals(&goals).markdown(),
        reached(&goals),
        beside(study),
    );
    let _ = writeln!(
        text,
        "## Spikes 20/60/100 % with fewer calls and with more\n\nA / B, published lengths.\n\n{}",
        tables::volumes(study).markdown()
    );
    for lengths in Lengths::ALL {
        for (place, scenario) in study.scenarios() {
            let _ = writeln!(
                text,
                "## {}, {}\n\nMean (smallest–largest).\n\n{}",
                scenario.name,
                lengths.name(),
                tables::spreads(study, lengths, place).markdown(),
            );
        }
    }
    let _ = write!(
        text,
        "## What semian published\n\nRequests / successes / errors let through / rejected. Each is one run, with a load of its own: \
         compare none\nof these counts with another one, nor with the tables above.\n\n{}",
        tables::published().markdown()
    );
    text
}
