//! A picture under construction: dark on white, so that it can be read on any page.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const FONT: &str = "sans-serif";
const GREY: RGBColor = RGBColor(95, 95, 95);
const LIGHT: RGBColor = RGBColor(222, 222, 222);

/// The colours of lines; brama has the first. People
/// who cannot tell red from green can tell them apart.
pub const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 90, 181),
    RGBColor(213, 94, 0),
    RGBColor(0, 138, 100),
    RGBColor(180, 70, 140),
    RGBColor(110, 110, 110),
    RGBColor(160, 120, 0),
    RGBColor(60, 160, 220),
    RGBColor(60, 60, 60),
];

/// The text above a chart.
pub struct Heading {
    pub title: String,
    /// The version, the machine, the day.
    pub taken: String,
    pub unit: String,
}

pub type Done = Result<(), Box<dyn Error>>;

pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// On which side of its place a text stands.
#[derive(Clone, Copy)]
pub enum Side {
    Left,
    Right,
    Middle,
}

impl<'a> Canvas<'a> {
    pub fn new(
        text: &'a mut String,
        size: (i32, i32),
        heading: &Heading,
        kind: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let size = (size.0 as u32, size.1 as u32);
        let area = SVGBackend::with_string(text, size).into_drawing_area();
        area.fill(&WHITE)?;
        let canvas = Canvas { area };
        let font = (FONT, 20).into_font().style(FontStyle::Bold).color(&BLACK);
        canvas.area.draw_text(
            &heading.title,
            &font.pos(Pos::new(HPos::Left, VPos::Center)),
            (20, 24),
        )?;
        canvas.text(&heading.taken, (20, 49), Side::Right, 13, &GREY)?;
        let axis = format!("{}, {kind}; lower is better", heading.unit);
        canvas.text(&axis, (20, 69), Side::Right, 13, &BLACK)?;
        Ok(canvas)
    }

    pub fn text(
        &self,
        text: &str,
        place: (i32, i32),
        side: Side,
        size: u32,
        colour: &RGBColor,
    ) -> Done {
        let side = match side {
            Side::Left => HPos::Right,
            Side::Right => HPos::Left,
            Side::Middle => HPos::Center,
        };
        let style = (FONT, size).into_font().color(colour);
        let style = style.pos(Pos::new(side, VPos::Center));
        self.area.draw_text(text, &style, place)?;
        Ok(())
    }

    pub fn line(&self, points: &[(i32, i32)], colour: &RGBColor, width: u32) -> Done {
        let style = colour.stroke_width(width);
        self.area.draw(&PathElement::new(points.to_vec(), style))?;
        Ok(())
    }

    /// Draws a line of the grid.
    pub fn rule(&self, from: (i32, i32), to: (i32, i32)) -> Done {
        self.line(&[from, to], &LIGHT, 1)
    }

    pub fn dot(&self, place: (i32, i32), size: i32, colour: &RGBColor) -> Done {
        self.area.draw(&Circle::new(place, size, colour.filled()))?;
        Ok(())
    }

    pub fn end(self) -> Done {
        self.area.present()?;
        Ok(())
    }
}
