//! How a feature is drawn.

/// One feature of a model.
#[derive(Debug)]
pub struct FeatureSpec {
    pub name: &'static str,
    /// Share of nulls.
    pub null_share: f64,
    pub(crate) draw: Draw,
    /// Deviations by which it moves up from the mean at the top of the daily cycle.
    pub(crate) cycle: f64,
    /// Deviations by which it wanders with the model's mix, which is correlated over an hour.
    pub(crate) mix: f64,
    /// What one deviation adds to the model's logit.
    pub(crate) weight: f64,
}

/// What a feature's values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureKind {
    Number,
    Category,
    Flag,
}

/// One value of a category: how often by day, how often by night (relative), what it adds to the logit.
#[derive(Debug)]
pub struct Category {
    pub name: &'static str,
    pub(crate) day: f64,
    pub(crate) night: f64,
    pub(crate) logit: f64,
}

/// A distribution. A continuous one is a function of z, which is normal before drift moves it.
#[derive(Debug)]
pub(crate) enum Draw {
    /// median · exp(sigma · z), at most `max`.
    Lognormal {
        median: f64,
        sigma: f64,
        max: f64,
        decimals: u8,
    },
    /// mean + sd · z, within `min` and `max`.
    Normal {
        mean: f64,
        sd: f64,
        min: f64,
        max: f64,
        decimals: u8,
    },
    /// A large offset, a daily swing that leads the traffic's by nothing, and weather that stays for hours.
    Weather {
        mean: f64,
        swing: f64,
        wander: f64,
        sd: f64,
        decimals: u8,
    },
    /// 0 with probability `zero`, else geometric from 1 with this mean, at most `max`.
    Count {
        zero: f64,
        mean: f64,
        max: u16,
    },
    /// A whole number, each as likely.
    Whole {
        low: u16,
        high: u16,
    },
    /// Few numbers: a grid with atoms. Value, share.
    Levels(&'static [(u16, f64)]),
    Category(&'static [Category]),
    Flag {
        share: f64,
    },
}

impl FeatureSpec {
    #[must_use]
    pub fn kind(&self) -> FeatureKind {
        match self.draw {
            Draw::Category(_) => FeatureKind::Category,
            Draw::Flag { .. } => FeatureKind::Flag,
            Draw::Lognormal { .. }
            | Draw::Normal { .. }
            | Draw::Weather { .. }
            | Draw::Count { .. }
            | Draw::Whole { .. }
            | Draw::Levels(_) => FeatureKind::Number,
        }
    }

    /// The names a category can take; empty for other kinds.
    #[must_use]
    pub fn categories(&self) -> Vec<&'static str> {
        match self.draw {
            Draw::Category(categories) => categories.iter().map(|c| c.name).collect(),
            Draw::Flag { .. }
            | Draw::Lognormal { .. }
            | Draw::Normal { .. }
            | Draw::Weather { .. }
            | Draw::Count { .. }
            | Draw::Whole { .. }
            | Draw::Levels(_) => vec![],
        }
    }

    pub(crate) const fn new(name: &'static str, draw: Draw) -> Self {
        Self { name, draw, null_share: 0.0, cycle: 0.1, mix: 0.05, weight: 0.0 }
    }

    pub(crate) const fn nulls(self, null_share: f64) -> Self {
        Self { null_share, ..self }
    }

    pub(crate) const fn cycle(self, cycle: f64) -> Self {
        Self { cycle, ..self }
    }

    pub(crate) const fn weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }
}

/// As often by night as by day.
pub(crate) const fn even(name: &'static str, share: f64) -> Category {
    Category { name, day: share, night: share, logit: 0.0 }
}

pub(crate) const fn shifting(name: &'static str, day: f64, night: f64) -> Category {
    Category { name, day, night, logit: 0.0 }
}

impl Category {
    pub(crate) const fn logit(self, logit: f64) -> Self {
        Self { logit, ..self }
    }
}
