//! Closed panes and incidents to SVG, by one grammar.
//!
//! Event time runs to the right. The line is what the judge counted, as a change against the reference, which is the
//! grey line at zero; the band is the effect with its limits, as the gate read it; the vermilion line is the least effect
//! that matters. Below it runs the evidence: an alarm is where it reaches the line. Incidents are shaded from open to
//! close; what could not be judged is hatched and named. Every picture has a sentence for a title, a description, and a
//! table of the same numbers.
//!
//! Pure functions of records: no clock, no script, no external resource. All names come from telemetry and are hostile:
//! they reach the page escaped, through [`text`] alone.

/// Adds formatted text to a string.
macro_rules! put {
    ($out:expr, $($text:tt)*) => { $out.push_str(&format!($($text)*)) };
}

mod axis;
mod bars;
mod columns;
mod flow;
mod stream;
mod style;
pub mod text;

pub use bars::distribution;
pub use columns::{COLUMNS_MAX, Column, Columns, Merge};
pub use flow::{Flow, Shown, flow};
pub use stream::{Marks, Series, stream, unjudged};
pub use style::CSS;
