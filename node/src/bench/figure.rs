//! Figures, and how they are printed: each with what it was measured beside and under which
//! conditions.
//!
//! What deliberately does not live here: verdicts. Whether a figure is good is the reader's to say.

use serde_json::{Value, json};

use super::conditions::Conditions;
use crate::cli::flags::OutputForm;
use crate::cli::{Failure, print_json, print_text};

/// Something else measured in the same run: a floor that physics sets here, or a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// What was measured.
    pub what: &'static str,
    /// In the unit of the figure.
    pub value: f64,
}

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The measurement's name, a dot, and which of its figures.
    pub name: &'static str,
    /// The number.
    pub value: f64,
    /// What it counts.
    pub unit: &'static str,
    /// What it is to be compared with.
    pub reference: Option<Reference>,
}

impl Figure {
    /// A figure that nothing is measured beside.
    pub fn new(name: &'static str, value: f64, unit: &'static str) -> Figure {
        Figure {
            name,
            value,
            unit,
            reference: None,
        }
    }

    /// Measured beside something else.
    #[must_use]
    pub fn beside(mut self, what: &'static str, value: f64) -> Figure {
        self.reference = Some(Reference { what, value });
        self
    }

    /// Figure over reference.
    fn ratio(&self) -> Option<f64> {
        let reference = self.reference.as_ref()?;
        (reference.value != 0.0).then(|| self.value / reference.value)
    }

    fn to_json(&self) -> Value {
        let reference = self.reference.as_ref().map(|reference| {
            json!({"what": reference.what, "value": rounded(reference.value), "unit": self.unit})
        });
        json!({
            "name": self.name,
            "value": rounded(self.value),
            "unit": self.unit,
            "reference": reference,
            "ratio": self.ratio().map(rounded),
        })
    }

    fn line(&self) -> String {
        let mut line = format!("{:<26} {:>12} {}", self.name, shown(self.value), self.unit);
        if let (Some(reference), Some(ratio)) = (&self.reference, self.ratio()) {
            let value = shown(reference.value);
            line += &format!("  = {} x {value} ({})", shown(ratio), reference.what);
        }
        line
    }
}

/// What one run of `shoal bench` found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The measurement's name.
    pub name: &'static str,
    /// In the order of their importance.
    pub figures: Vec<Figure>,
    /// What the numbers hold for.
    pub conditions: Conditions,
}

impl Report {
    /// Prints it.
    ///
    /// # Errors
    /// Standard output is gone.
    pub fn print(&self, form: OutputForm) -> Result<(), Failure> {
        match form {
            OutputForm::Json => print_json(&json!({
                "bench": self.name,
                "figures": self.figures.iter().map(Figure::to_json).collect::<Vec<_>>(),
                "conditions": self.conditions.to_json(),
            })),
            OutputForm::Table => {
                let mut text = String::new();
                for figure in &self.figures {
                    text += &figure.line();
                    text.push('\n');
                }
                text += &self.conditions.to_string();
                print_text(&text)
            }
        }
    }
}

/// The middle one of some numbers, the lower one of two; zero of none.
pub fn median(numbers: &[f64]) -> f64 {
    part(numbers, 50)
}

/// The number below which that many percent of them lie; zero of none.
pub fn part(numbers: &[f64], percent: usize) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(0.0)
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Three digits or more.
fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        middle if middle >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_its_ratio() {
        let figure = Figure::new("x.y", 50.0, "ms").beside("a floor", 20.0);
        assert_eq!(figure.to_json()["ratio"], 2.5);
        assert!(figure.line().ends_with("50.0 ms  = 2.50 x 20.0 (a floor)"));
        assert_eq!(
            Figure::new("x.y", 1.0, "ms").beside("none", 0.0).ratio(),
            None
        );
    }

    #[test]
    fn parts_are_taken_of_sorted_numbers() {
        let numbers = [3.0, 1.0, 2.0, 4.0];
        assert_eq!((median(&numbers), part(&numbers, 100)), (2.0, 4.0));
        assert_eq!(median(&[]), 0.0);
    }
}
