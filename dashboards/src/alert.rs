//! What an alert is: when it fires, what it says, what to do about it, and proof of all that.

/// How soon somebody must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Now.
    Critical,
    /// During the day.
    Warning,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
        }
    }
}

/// Series of a made-up cluster, in the notation of `promtool test rules`, one sample per 15 s.
pub type Series = &'static [(&'static str, &'static str)];
/// Names and values of labels.
pub type Labels = &'static [(&'static str, &'static str)];

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name, and the anchor of its text.
    pub name: &'static str,
    /// How soon somebody must look.
    pub severity: Severity,
    /// PromQL; what it gives, fires.
    pub expression: String,
    /// For how long it must hold.
    pub hold: &'static str,
    /// One line; may name the node as `{{ $labels.instance }}`.
    pub summary: &'static str,
    /// What it means for users of the cluster.
    pub meaning: &'static str,
    /// What to look at.
    pub look: &'static [&'static str],
    /// What to do.
    pub act: &'static [&'static str],
    /// A cluster in which it fires 40 minutes after the first sample, once, with these labels.
    pub fires: (Series, Labels),
    /// A cluster in which it does not.
    pub quiet: Series,
}

impl Alert {
    /// One that somebody must look at now.
    pub fn critical(name: &'static str, hold: &'static str, expression: String) -> Alert {
        Alert {
            name,
            severity: Severity::Critical,
            expression,
            hold,
            summary: "",
            meaning: "",
            look: &[],
            act: &[],
            fires: (&[], &[]),
            quiet: &[],
        }
    }

    /// One that has time until the day.
    pub fn warning(name: &'static str, hold: &'static str, expression: String) -> Alert {
        Alert {
            severity: Severity::Warning,
            ..Alert::critical(name, hold, expression)
        }
    }

    /// With its line, and what it means.
    pub fn says(mut self, summary: &'static str, meaning: &'static str) -> Alert {
        (self.summary, self.meaning) = (summary, meaning);
        self
    }

    /// With what to look at, and what to do.
    pub fn steps(mut self, look: &'static [&'static str], act: &'static [&'static str]) -> Alert {
        (self.look, self.act) = (look, act);
        self
    }

    /// With the cluster in which it fires.
    pub fn fires(mut self, series: Series, labels: Labels) -> Alert {
        self.fires = (series, labels);
        self
    }

    /// With the cluster in which it does not.
    pub fn quiet(mut self, series: Series) -> Alert {
        self.quiet = series;
        self
    }
}
