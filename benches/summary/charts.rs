//! The charts. Dark on white, so that they can be read on any page.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::rows::{Book, digits};

const SIZE: (u32, u32) = (760, 420);
const FONT: &str = "sans-serif";

/// Ours first, thicker than the others; colours that differ for everybody.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 90, 181),
    RGBColor(213, 94, 0),
    RGBColor(0, 138, 100),
    RGBColor(180, 70, 140),
    RGBColor(120, 120, 120),
    RGBColor(160, 120, 0),
    RGBColor(60, 160, 220),
];

/// An axis with labels at chosen places.
#[derive(Clone)]
struct Axis {
    range: Range<f64>,
    labels: Vec<(f64, String)>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        from + (f64::from(to - from) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labels.iter().map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        let label = self.labels.iter().find(|(place, _)| place == value);
        label.map_or_else(String::new, |(_, label)| label.clone())
    }
}

type Drawn = Result<(), Box<dyn Error>>;

/// A line, or the bars of one colour: a value for each place, if there is one.
struct Series {
    name: String,
    values: Vec<Option<f64>>,
}

struct Chart<'a> {
    title: &'a str,
    /// What the places are, and what the values.
    axes: (&'a str, &'a str),
    places: Vec<String>,
    series: Vec<Series>,
    logarithmic: bool,
}

pub fn draw(book: &Book, folder: &Path) -> Drawn {
    guarded_call(book).bars(&folder.join("guarded_call.svg"))?;
    lookups(book).lines(&folder.join("lookups.svg"))?;
    latency(book).lines(&folder.join("latency.svg"))?;
    subscribers(book).lines(&folder.join("subscribers.svg"))
}

fn guarded_call(book: &Book) -> Chart<'static> {
    const NAMES: [(&str, &str); 7] = [
        ("brama, acquire + success", "brama"),
        ("brama, call", "brama, call"),
        ("circuit_breaker", "circuit_breaker"),
        ("recloser", "recloser"),
        ("failsafe", "failsafe"),
        ("a plain mutex", "a plain mutex"),
        ("tower-resilience", "tower-resilience"),
    ];
    let series = [(1, "1 thread"), (2, "2 threads on one circuit")].map(|(threads, name)| Series {
        name: name.to_owned(),
        values: NAMES
            .map(|(name, _)| book.ns("hot_path", "success", name, threads))
            .to_vec(),
    });
    Chart {
        title: "A guarded call that succeeds",
        axes: ("", "ns, logarithmic"),
        places: NAMES.map(|(_, label)| label.to_owned()).to_vec(),
        series: series.into(),
        logarithmic: true,
    }
}

fn lookups(book: &Book) -> Chart<'static> {
    const SIZES: [&str; 3] = ["1 k", "100 k", "1 M"];
    let groups = SIZES.map(|size| book.group("lookup", &format!("{size}, hit")));
    let contestants = groups[0]
        .iter()
        .filter(|row| row.threads() == 1 && (row.is_peer() || row.name() == "brama"));
    let series = contestants.map(|row| Series {
        name: row.name().to_owned(),
        values: SIZES
            .map(|size| book.ns("lookup", &format!("{size}, hit"), row.name(), 1))
            .to_vec(),
    });
    Chart {
        title: "available by name, one thread, random order",
        axes: ("names", "ns"),
        places: SIZES.map(str::to_owned).to_vec(),
        series: series.collect(),
        logarithmic: false,
    }
}

fn latency(book: &Book) -> Chart<'static> {
    const SHARES: [&str; 4] = ["p50", "p90", "p99", "p99.9"];
    let rows = book.group("latency", "latency");
    let series = rows.iter().map(|row| Series {
        name: row.name().replace("floor: ", ""),
        values: SHARES.map(|share| row.number(share)).to_vec(),
    });
    Chart {
        title: "From a report to its subscriber",
        axes: ("percentile", "µs, logarithmic"),
        places: SHARES.map(str::to_owned).to_vec(),
        series: series.collect(),
        logarithmic: true,
    }
}

fn subscribers(book: &Book) -> Chart<'static> {
    const COUNTS: [&str; 5] = ["0", "1", "4", "16", "64"];
    let kinds = ["of another type", "of other connections", "of this event"];
    let series = kinds.map(|kind| Series {
        name: kind.to_owned(),
        values: COUNTS
            .map(|count| {
                let group = format!("subscribers {kind}, a report");
                book.ns("scaling", &group, count, 1)
            })
            .to_vec(),
    });
    Chart {
        title: "acquire + success, while there are subscribers",
        axes: ("subscribers", "ns"),
        places: COUNTS.map(str::to_owned).to_vec(),
        series: series.into(),
        logarithmic: false,
    }
}

impl Chart<'_> {
    fn is_empty(&self) -> bool {
        self.series
            .iter()
            .all(|series| series.values.iter().all(Option::is_none))
    }

    /// Where a value is drawn.
    fn height(&self, value: f64) -> f64 {
        if self.logarithmic {
            value.max(0.1).log10()
        } else {
            value
        }
    }

    /// From the bottom to above the highest value.
    fn values(&self) -> Axis {
        let values = self
            .series
            .iter()
            .flat_map(|series| series.values.iter().flatten());
        let most = values.copied().fold(0.0, f64::max);
        let top = if self.logarithmic {
            most * 2.5
        } else {
            most * 1.45
        };
        let step = 10_f64.powf((most / 3.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * step);
        let step = steps.into_iter().find(|step| most / step <= 6.0);
        let step = step.unwrap_or(most);
        let ticks = (0..8).map(|place| match self.logarithmic {
            true => 10_f64.powi(place),
            false => f64::from(place) * step,
        });
        let ticks = ticks.take_while(|tick| *tick <= top);
        Axis {
            range: 0.0..self.height(top),
            labels: ticks
                .map(|tick| (self.height(tick), tick.to_string()))
                .collect(),
        }
    }

    /// The places, the first one lowest or leftmost unless `reversed`.
    fn places(&self, reversed: bool, margin: f64) -> Axis {
        let last = self.places.len() as f64 - 1.0;
        let labels = self.places.iter().enumerate().map(|(place, label)| {
            let place = place as f64;
            (if reversed { last - place } else { place }, label.clone())
        });
        Axis {
            range: -margin..last + margin,
            labels: labels.collect(),
        }
    }

    fn lines(&self, path: &Path) -> Drawn {
        if self.is_empty() {
            return Ok(());
        }
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, (FONT, 20).into_font().color(&BLACK))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(62)
            .build_cartesian_2d(self.places(false, 0.3), self.values())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(215, 215, 215))
            .x_desc(self.axes.0)
            .y_desc(self.axes.1)
            .label_style((FONT, 14).into_font().color(&BLACK))
            .draw()?;
        for (place, series) in self.series.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let style = colour.stroke_width(if series.name.starts_with("brama") {
                3
            } else {
                2
            });
            let values = series.values.iter().enumerate();
            let points: Vec<(f64, f64)> = values
                .filter_map(|(x, value)| Some((x as f64, self.height((*value)?))))
                .collect();
            chart
                .draw_series(LineSeries::new(points.clone(), style))?
                .label(series.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
            chart.draw_series(
                points
                    .iter()
                    .map(|point| Circle::new(*point, 4, colour.filled())),
            )?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(RGBColor(215, 215, 215))
            .label_font((FONT, 14).into_font().color(&BLACK))
            .legend_area_size(30)
            .draw()?;
        root.present()?;
        Ok(())
    }

    /// Bars that lie, those of one place below each other, with their values.
    fn bars(&self, path: &Path) -> Drawn {
        if self.is_empty() {
            return Ok(());
        }
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let places = self.places.len();
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, (FONT, 20).into_font().color(&BLACK))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(130)
            .build_cartesian_2d(self.values(), self.places(true, 0.5))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(215, 215, 215))
            .x_desc(self.axes.1)
            .label_style((FONT, 14).into_font().color(&BLACK))
            .draw()?;
        let thickness = 0.8 / self.series.len() as f64;
        for (order, series) in self.series.iter().enumerate() {
            let colour = COLOURS[order % COLOURS.len()];
            let bars = series
                .values
                .iter()
                .enumerate()
                .filter_map(|(place, value)| {
                    let middle =
                        (places - 1 - place) as f64 + 0.4 - (order as f64 + 0.5) * thickness;
                    Some((middle, (*value)?))
                });
            let bars: Vec<(f64, f64)> = bars.collect();
            let half = thickness * 0.45;
            chart
                .draw_series(bars.iter().map(|&(y, value)| {
                    let corners = [(0.0, y - half), (self.height(value), y + half)];
                    Rectangle::new(corners, colour.filled())
                }))?
                .label(series.name.clone())
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled())
                });
            let font = (FONT, 12).into_font().color(&BLACK);
            chart.draw_series(bars.iter().map(|&(y, value)| {
                let place = (self.height(value), y + half);
                EmptyElement::at(place) + Text::new(digits(value), (4, 1), font.clone())
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .border_style(RGBColor(215, 215, 215))
            .label_font((FONT, 14).into_font().color(&BLACK))
            .draw()?;
        root.present()?;
        Ok(())
    }
}
