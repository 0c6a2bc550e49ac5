//! A model of semian's adaptive breaker, with its defaults.
//!
//! A PID controller (kp 1, ki 0.2, kd 0) sets the share of calls that is refused,
//! once a second, by the error rate of the last 10 s. The rate that it aims at is
//! a smoothed average of the error rates up to 10 %. An error rate up to a quarter
//! above the aim counts as the aim. Its windows hold 2 000 errors and 2 000
//! successes. So above 200 calls a second a circuit overstates the error rate.

use std::collections::VecDeque;

use rand::RngExt;

use super::Circuits;
use crate::chance::{self, Chance, Purpose};
use crate::scenarios::{Micros, SECOND};

const WINDOW: Micros = 10 * SECOND;
const REMEMBERED: usize = 2_000;
const INTEGRAL_GAIN: f64 = 0.2;
const INTEGRAL_LIMIT: f64 = 10.0;
const DEAD_ZONE: f64 = 0.25;

/// The error rate that a controller aims at when it begins.
const FIRST_AIM: f64 = 0.05;
/// Error rates above this do not change the aim.
const AIM_LIMIT: f64 = 0.1;
/// The aim follows so many observations more quickly: those of half an hour.
const QUICK: u32 = 30 * 60;

struct Controller {
    refused: f64,
    integral: f64,
    aim: f64,
    observations: u32,
    errors: VecDeque<Micros>,
    successes: VecDeque<Micros>,
    chance: Chance,
}

impl Controller {
    fn update(&mut self, now: Micros) {
        let oldest = now.saturating_sub(WINDOW);
        for times in [&mut self.errors, &mut self.successes] {
            while times.front().is_some_and(|time| *time < oldest) {
                times.pop_front();
            }
        }
        let errors = self.errors.len();
        let all = errors + self.successes.len();
        let rate = match all {
            0 => 0.0,
            _ => errors as f64 / all as f64,
        };
        self.observe(rate);
        let above = rate - self.aim;
        let is_noise = above > 0.0 && above <= self.aim * DEAD_ZONE;
        let error = if is_noise { 0.0 } else { above };
        let proportional = error - (1.0 - error) * self.refused;
        self.integral += proportional;
        let change = proportional + INTEGRAL_GAIN * self.integral;
        self.refused = (self.refused + change).clamp(0.0, 1.0);
        self.integral = self.integral.clamp(-INTEGRAL_LIMIT, INTEGRAL_LIMIT);
    }

    fn observe(&mut self, rate: f64) {
        if rate > AIM_LIMIT {
            return;
        }
        self.observations += 1;
        let weight = match (self.observations < QUICK, rate > self.aim) {
            (true, true) => 0.0017,
            (true, false) => 0.078,
            (false, true) => 0.0009,
            (false, false) => 0.039,
        };
        self.aim = weight * rate + (1.0 - weight) * self.aim;
    }
}

pub struct Adaptive(Vec<Controller>);

impl Adaptive {
    pub fn new(circuits: usize, seed: u64) -> Self {
        let controller = |circuit| Controller {
            refused: 0.0,
            integral: 0.0,
            aim: FIRST_AIM,
            observations: 0,
            errors: VecDeque::new(),
            successes: VecDeque::new(),
            chance: chance::of(seed, Purpose::Refusals(circuit)),
        };
        Adaptive((0..circuits).map(controller).collect())
    }
}

impl Circuits for Adaptive {
    type Ticket = ();

    fn admit(&mut self, circuit: usize, _now: Micros) -> Option<()> {
        let controller = &mut self.0[circuit];
        let luck: f64 = controller.chance.random();
        (luck >= controller.refused).then_some(())
    }

    fn report(&mut self, circuit: usize, _ticket: (), failed: bool, now: Micros) {
        let controller = &mut self.0[circuit];
        let times = match failed {
            true => &mut controller.errors,
            false => &mut controller.successes,
        };
        if times.len() == REMEMBERED {
            times.pop_front();
        }
        times.push_back(now);
    }

    fn second(&mut self, now: Micros) {
        for controller in &mut self.0 {
            controller.update(now);
        }
    }
}
