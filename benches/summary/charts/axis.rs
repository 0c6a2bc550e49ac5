//! The axis of a chart: where values lie on it, and where its labels are.

/// An axis of values that begins at zero, or is logarithmic.
pub struct Axis {
    logarithmic: bool,
    least: f64,
    most: f64,
    pub ticks: Vec<f64>,
}

impl Axis {
    /// From zero to a round number above all values.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let most = values.fold(0.0, f64::max).max(1e-9);
        let power = 10_f64.powf((most / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let step = step.into_iter().find(|step| most / step <= 6.0);
        let step = step.unwrap_or(power * 10.0);
        let steps = (most / step).ceil();
        Axis {
            logarithmic: false,
            least: 0.0,
            most: steps * step,
            ticks: (0..=steps as u32)
                .map(|place| f64::from(place) * step)
                .collect(),
        }
    }

    /// Between round numbers (1, 2, 5, 10, …) below and above all values.
    pub fn logarithmic(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        let (least, most) = if least > most {
            (1.0, 10.0)
        } else {
            (least.max(1e-3), most)
        };
        let round = (-9..36).map(|place: i32| {
            let times = [1.0, 2.0, 5.0][place.rem_euclid(3) as usize];
            times * 10_f64.powi(place.div_euclid(3))
        });
        let round: Vec<f64> = round.collect();
        let below = round.iter().rposition(|tick| *tick <= least * 0.999);
        let above = round.iter().position(|tick| *tick >= most * 1.001);
        let (below, above) = (below.unwrap_or(0), above.unwrap_or(round.len() - 1));
        Axis {
            logarithmic: true,
            least: round[below],
            most: round[above],
            ticks: round[below..=above].to_vec(),
        }
    }

    /// The position of a value on the axis, from 0 to 1.
    pub fn part(&self, value: f64) -> f64 {
        if self.logarithmic {
            let value = value.max(self.least);
            (value / self.least).ln() / (self.most / self.least).ln()
        } else {
            (value - self.least) / (self.most - self.least)
        }
    }

    /// The name of the kind of axis, for the chart.
    pub fn kind(&self) -> &'static str {
        if self.logarithmic {
            "logarithmic axis"
        } else {
            "axis from zero"
        }
    }
}

/// A tick's label, without trailing zeroes, and with a space between thousands.
pub fn label(tick: f64) -> String {
    if tick < 10_000.0 {
        return format!("{}", (tick * 1_000.0).round() / 1_000.0);
    }
    let digits = format!("{tick:.0}");
    let mut label = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            label.push('\u{202f}');
        }
        label.push(digit);
    }
    label
}
