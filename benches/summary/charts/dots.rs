//! A chart with a row for each contestant, and in it a dot for each kind of value.
//! There are no bars, since on a logarithmic axis the length of a bar has no meaning.

use plotters::style::{BLACK, RGBColor};

use super::Drawn;
use super::axis::{Axis, label};
use super::canvas::{COLOURS, Canvas, Heading, Side};
use crate::book::digits;

pub struct Dots {
    pub kinds: Vec<String>,
    /// The name of each contestant, and its value of each kind, if there is one.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: i32 = 820;
/// Where the axis begins and ends.
const AXIS: (i32, i32) = (260, WIDTH - 80);
/// The space between the names and the axis, for the labels of dots.
const NAMES: i32 = 56;
const TOP: i32 = 112;
const ROW: i32 = 34;
const BETWEEN: RGBColor = RGBColor(190, 190, 190);

impl Dots {
    pub fn draw(&self, heading: Heading) -> Drawn {
        let values = self
            .rows
            .iter()
            .flat_map(|(_, values)| values.iter().flatten());
        let axis = Axis::logarithmic(values.copied());
        let x = |value: f64| {
            let width = f64::from(AXIS.1 - AXIS.0);
            AXIS.0 + (axis.part(value) * width).round() as i32
        };
        let bottom = TOP + ROW * self.rows.len() as i32;
        let mut text = String::new();
        let canvas = Canvas::new(&mut text, (WIDTH, bottom + 40), &heading, axis.kind())?;
        let mut place = AXIS.0;
        for (kind, colour) in self.kinds.iter().zip(&COLOURS) {
            canvas.dot((place, 92), 6, colour)?;
            canvas.text(kind, (place + 12, 92), Side::Right, 14, &BLACK)?;
            place += 40 + 8 * kind.chars().count() as i32;
        }
        for tick in &axis.ticks {
            canvas.rule((x(*tick), TOP), (x(*tick), bottom))?;
            canvas.text(
                &label(*tick),
                (x(*tick), bottom + 16),
                Side::Middle,
                13,
                &BLACK,
            )?;
        }
        for (row, (name, values)) in self.rows.iter().enumerate() {
            let y = TOP + ROW * row as i32 + ROW / 2;
            let colour = if name.starts_with("brama") {
                &COLOURS[0]
            } else {
                &BLACK
            };
            canvas.text(name, (AXIS.0 - NAMES, y), Side::Left, 14, colour)?;
            let dots = values.iter().zip(&COLOURS);
            let mut dots: Vec<_> = dots
                .filter_map(|(value, colour)| Some(((*value)?, colour)))
                .collect();
            dots.sort_by(|one, other| one.0.total_cmp(&other.0));
            let ends = [dots.first(), dots.last()].map(|end| end.map(|(value, _)| (x(*value), y)));
            if let [Some(from), Some(to)] = ends {
                canvas.line(&[from, to], &BETWEEN, 3)?;
            }
            for (order, (value, colour)) in dots.iter().enumerate() {
                canvas.dot((x(*value), y), 6, colour)?;
                // If there are several dots, the label of the least is on its left.
                let (shift, side) = match order == 0 && dots.len() > 1 {
                    true => (-11, Side::Left),
                    false => (11, Side::Right),
                };
                canvas.text(&digits(*value), (x(*value) + shift, y), side, 13, colour)?;
            }
        }
        canvas.end()?;
        Ok(text)
    }
}
