//! The play in a terminal: the lanes below each other
//! on one axis of time, drawn while the play goes on.
//!
//! Each column is a second. From the bottom it shows
//! the calls that were served, failed, and refused.

use std::io::{self, Stdout, stdout};
use std::thread;
use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::crossterm::terminal;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::prelude::CrosstermBackend;
use ratatui::style::{Color, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use crate::lane::{CALLS_PER_SECOND, Calls, INTERVAL, LENGTH, Lane, Light, Play};
use crate::plain::grouped;
use crate::service::{Ms, PHASES};

/// How much time of the play passes between two pictures.
const PICTURE: Ms = 200;

/// The rows of a chart, and the rows of a lane: chart, title and an empty row.
const CHART: u16 = 4;
const LANE: u16 = CHART + 2;

const SERVED: Color = Color::Green;
const FAILED: Color = Color::Red;
const REFUSED: Color = Color::DarkGray;

fn height(play: &Play) -> u16 {
    play.lanes.len() as u16 * LANE + 2
}

/// Whether the terminal has room for the play.
pub fn fits(play: &Play) -> bool {
    let seconds = LENGTH / 1_000;
    terminal::size()
        .is_ok_and(|(columns, rows)| u64::from(columns) >= seconds + 4 && rows > height(play))
}

/// Shows the play, stretched to `length`.
pub fn show(play: &mut Play, length: Duration) -> Result<(), crate::Error> {
    let viewport = Viewport::Inline(height(play));
    let options = TerminalOptions { viewport };
    let mut terminal: Terminal<CrosstermBackend<Stdout>> =
        Terminal::with_options(CrosstermBackend::new(stdout()), options)?;
    let pictures = LENGTH / PICTURE;
    let pause = length / pictures as u32;
    while !play.is_over() {
        for _ in 0..PICTURE / INTERVAL {
            play.step()?;
        }
        draw(&mut terminal, play)?;
        thread::sleep(pause);
    }
    println!();
    Ok(())
}

fn draw(terminal: &mut Terminal<CrosstermBackend<Stdout>>, play: &Play) -> io::Result<()> {
    terminal.draw(|frame| picture(frame, play))?;
    Ok(())
}

fn picture(frame: &mut Frame, play: &Play) {
    let area = frame.area();
    let lanes = play.lanes.iter().map(|_| Constraint::Length(LANE));
    let rows = [Constraint::Length(1), Constraint::Length(1)]
        .into_iter()
        .chain(lanes);
    let rows = Layout::vertical(rows).split(area);
    frame.render_widget(legend(play.now), rows[0]);
    frame.render_widget(Phases, rows[1]);
    for (lane, area) in play.lanes.iter().zip(rows.iter().skip(2)) {
        let [title, chart, _] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(CHART),
            Constraint::Length(1),
        ])
        .areas(*area);
        frame.render_widget(self::title(lane), title);
        frame.render_widget(Chart(&lane.seconds), chart);
    }
    // The cursor stays visible below the picture, since the play may be interrupted.
    frame.set_cursor_position(Position::new(area.x, area.bottom().saturating_sub(1)));
}

fn legend(now: Ms) -> Line<'static> {
    Line::from(vec![
        Span::raw(format!(" {:4.1} s  ", now as f64 / 1_000.0)).bold(),
        Span::raw(format!("{CALLS_PER_SECOND} calls a second:  ")),
        Span::raw("█ served  ").fg(SERVED),
        Span::raw("█ failed  ").fg(FAILED),
        Span::raw("█ refused").fg(REFUSED),
    ])
}

fn title(lane: &Lane) -> Line<'static> {
    let Calls {
        served,
        failed,
        refused,
    } = lane.total();
    let colour = match lane.light {
        Light::Closed => SERVED,
        Light::Open => FAILED,
        Light::Probing | Light::Ramp => Color::Yellow,
    };
    Line::from(vec![
        Span::raw(format!(" {:9}", lane.strategy.name)).bold(),
        Span::raw(format!("{:10}", lane.light.label())).fg(colour),
        Span::raw(format!("served {:>5}  ", grouped(served))),
        Span::raw(format!("failed {:>5}  ", grouped(failed))),
        Span::raw(format!("refused {:>5}", grouped(refused))),
    ])
}

/// The phases of the service, each above the second in which it begins.
struct Phases;

impl Widget for Phases {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        for (from, phase) in PHASES {
            let x = area.x + 1 + (from / 1_000) as u16;
            let text = format!("│{}", phase.label());
            buffer.set_stringn(
                x,
                area.y,
                text,
                area.right().saturating_sub(x).into(),
                Color::Cyan,
            );
        }
    }
}

/// The chart of a lane. Each cell shows two values, in its upper and in its lower half.
struct Chart<'l>(&'l [Calls]);

impl Widget for Chart<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let halves = f64::from(area.height) * 2.0;
        for (second, calls) in self.0.iter().enumerate() {
            let x = area.x + 1 + second as u16;
            let colour = |half: f64| {
                let level = ((half + 0.5) / halves * CALLS_PER_SECOND as f64) as u64;
                match level {
                    level if level < calls.served => SERVED,
                    level if level < calls.served + calls.failed => FAILED,
                    level if level < calls.served + calls.failed + calls.refused => REFUSED,
                    _ => Color::Reset,
                }
            };
            for row in 0..area.height {
                let lower = f64::from(area.height - 1 - row) * 2.0;
                let Some(cell) = buffer.cell_mut((x, area.y + row)) else {
                    continue;
                };
                cell.set_char('▄')
                    .set_fg(colour(lower))
                    .set_bg(colour(lower + 1.0));
            }
        }
    }
}
