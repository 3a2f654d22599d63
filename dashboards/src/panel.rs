//! What a dashboard is made of, before it becomes Grafana's JSON.

/// How the values of a panel are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number.
    Count,
    /// Things per second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// A share from 0 to 1.
    Share,
    /// 1 is yes, 0 is no.
    YesNo,
}

/// What a panel looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// One large number for each series.
    Number,
    /// Lines over time.
    Lines,
    /// Areas over time, on top of each other.
    Areas,
}

/// One query and how its series are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// PromQL.
    pub expression: String,
    /// Grafana's template for the name of a series.
    pub legend: &'static str,
}

/// One panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// What it shows.
    pub title: &'static str,
    /// How it is drawn.
    pub look: Look,
    /// What its numbers are.
    pub unit: Unit,
    /// What it asks.
    pub queries: Vec<Query>,
}

/// A group of panels under a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What they have in common.
    pub title: &'static str,
    /// In reading order.
    pub panels: Vec<Panel>,
}

/// A dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// Its name in files and addresses.
    pub name: &'static str,
    /// Its title.
    pub title: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// A group of panels.
pub fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, panels }
}

/// A large number.
pub fn number(title: &'static str, unit: Unit, expression: String) -> Panel {
    panel(title, Look::Number, unit).with("", expression)
}

/// A panel without queries.
pub fn panel(title: &'static str, look: Look, unit: Unit) -> Panel {
    Panel {
        title,
        look,
        unit,
        queries: Vec::new(),
    }
}

/// Lines of one query.
pub fn lines(title: &'static str, unit: Unit, legend: &'static str, expression: String) -> Panel {
    panel(title, Look::Lines, unit).with(legend, expression)
}

/// Areas of one query.
pub fn areas(title: &'static str, unit: Unit, legend: &'static str, expression: String) -> Panel {
    panel(title, Look::Areas, unit).with(legend, expression)
}

impl Panel {
    /// With one more query.
    pub fn with(mut self, legend: &'static str, expression: String) -> Panel {
        self.queries.push(Query { expression, legend });
        self
    }
}
