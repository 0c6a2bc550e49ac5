//! A chart with a line for each contestant, with its name at the end.

use plotters::style::BLACK;

use super::Drawn;
use super::axis::{Axis, label};
use super::canvas::{COLOURS, Canvas, Heading, Side};

pub struct Lines {
    /// The label of the horizontal axis.
    pub across: &'static str,
    /// The positions on that axis that have values, and their labels.
    pub places: Vec<(f64, String)>,
    pub lines: Vec<Line>,
    pub scale: Scale,
}

pub struct Line {
    pub name: String,
    /// The value at each place, if there is one.
    values: Vec<Option<f64>>,
}

pub enum Scale {
    FromZero,
    Logarithmic,
}

const SIZE: (i32, i32) = (820, 480);
/// From left to right, and from top to bottom.
const FRAME: ((i32, i32), (i32, i32)) = ((76, SIZE.0 - 250), (100, SIZE.1 - 64));
/// The least distance between two names at the ends.
const LINE: i32 = 18;

impl Line {
    pub fn new(name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        Line {
            name: name.to_owned(),
            values: values.into_iter().collect(),
        }
    }

    fn is_ours(&self) -> bool {
        self.name.starts_with("brama")
    }
}

impl Lines {
    pub fn draw(&self, heading: Heading) -> Drawn {
        let values = || {
            self.lines
                .iter()
                .flat_map(|line| line.values.iter().flatten().copied())
        };
        let axis = match self.scale {
            Scale::FromZero => Axis::from_zero(values()),
            Scale::Logarithmic => Axis::logarithmic(values()),
        };
        let ((left, right), (top, bottom)) = FRAME;
        let y = |value: f64| bottom - (axis.part(value) * f64::from(bottom - top)).round() as i32;
        let first = self.places.first().map_or(0.0, |(place, _)| *place);
        let last = self.places.last().map_or(1.0, |(place, _)| *place);
        let x = |place: f64| {
            let part = (place - first) / (last - first).max(1e-9);
            left + 16 + (part * f64::from(right - left - 32)).round() as i32
        };
        let mut text = String::new();
        let canvas = Canvas::new(&mut text, SIZE, &heading, axis.kind())?;
        for tick in &axis.ticks {
            canvas.rule((left, y(*tick)), (right, y(*tick)))?;
            canvas.text(&label(*tick), (left - 10, y(*tick)), Side::Left, 13, &BLACK)?;
        }
        for (place, label) in &self.places {
            canvas.rule((x(*place), bottom), (x(*place), bottom + 5))?;
            canvas.text(label, (x(*place), bottom + 18), Side::Middle, 13, &BLACK)?;
        }
        canvas.text(
            self.across,
            ((left + right) / 2, bottom + 42),
            Side::Middle,
            14,
            &BLACK,
        )?;
        // brama's line is drawn last, on top of the others.
        let mut order: Vec<usize> = (0..self.lines.len()).collect();
        order.sort_by_key(|place| self.lines[*place].is_ours());
        let mut ends = Vec::new();
        for place in order {
            let (line, colour) = (&self.lines[place], &COLOURS[place % COLOURS.len()]);
            let points = self.places.iter().zip(&line.values);
            let points: Vec<(i32, i32)> = points
                .filter_map(|((place, _), value)| Some((x(*place), y((*value)?))))
                .collect();
            canvas.line(&points, colour, if line.is_ours() { 4 } else { 2 })?;
            for point in &points {
                canvas.dot(*point, if line.is_ours() { 5 } else { 4 }, colour)?;
            }
            if let Some(end) = points.last() {
                ends.push((*end, line.name.as_str(), colour));
            }
        }
        ends.sort_by_key(|(end, ..)| end.1);
        for ((end, name, colour), at) in ends.iter().zip(apart(&ends, top, bottom)) {
            canvas.line(&[(end.0 + 8, end.1), (right + 14, at)], colour, 1)?;
            canvas.text(name, (right + 20, at), Side::Right, 14, colour)?;
        }
        canvas.end()?;
        Ok(text)
    }
}

/// The vertical positions of the names, from top to bottom. Two
/// names that would touch each other move apart, both by as much.
fn apart<T>(ends: &[((i32, i32), &str, T)], top: i32, bottom: i32) -> Vec<i32> {
    let mut places: Vec<f64> = ends.iter().map(|((_, y), ..)| f64::from(*y)).collect();
    for _ in 0..200 {
        for place in 1..places.len() {
            let lacks = f64::from(LINE) - (places[place] - places[place - 1]);
            if lacks > 0.0 {
                places[place - 1] -= lacks / 2.0;
                places[place] += lacks / 2.0;
            }
        }
        for place in &mut places {
            *place = place.clamp(f64::from(top), f64::from(bottom));
        }
    }
    places
        .into_iter()
        .map(|place| place.round() as i32)
        .collect()
}
