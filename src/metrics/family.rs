//! A family of series in `/metrics`.

/// What a family is, beside its samples.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// The name of its series.
    pub name: &'static str,
    /// Their type.
    pub kind: Kind,
    /// The names of their labels.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, but for restarts and CONFIG RESETSTAT.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds, with their sum.
    Histogram,
}

impl Kind {
    /// The name, as Prometheus writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}
