//! A dashboard as the JSON that Grafana imports, for Grafana 9 and later.

use serde_json::{Value, json};

use crate::panel::{Board, Look, Panel, Unit};
use crate::query::metrics_in;

/// Grafana's grid is so wide.
const WIDTH: u64 = 24;

/// The JSON of a dashboard.
pub fn render(board: &Board) -> String {
    let mut panels = Vec::new();
    let mut place = Place::default();
    for row in &board.rows {
        place.new_line();
        let at = place.take(WIDTH, 1);
        panels.push(json!({
            "id": panels.len() + 1,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "gridPos": at,
            "panels": [],
        }));
        for panel in &row.panels {
            let (width, height) = size(panel.look);
            let at = place.take(width, height);
            panels.push(render_panel(panels.len() + 1, panel, &at));
        }
    }
    let document = json!({
        "uid": format!("shoal-{}", board.name),
        "title": board.title,
        "description": board.about,
        "tags": ["shoal"],
        "editable": true,
        "graphTooltip": 1,
        "refresh": "10s",
        "schemaVersion": 36,
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "browser",
        "links": [{
            "type": "dashboards",
            "title": "Shoal",
            "tags": ["shoal"],
            "asDropdown": false,
            "keepTime": true,
            "includeVars": true,
        }],
        "templating": { "list": variables() },
        "panels": panels,
    });
    let mut text = serde_json::to_string_pretty(&document).expect("a document can be written");
    text.push('\n');
    text
}

/// What a user chooses on top of a dashboard.
fn variables() -> Value {
    let of_label = |name: &str, label: &str, query: &str| {
        json!({
            "name": name,
            "label": label,
            "type": "query",
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "query": { "query": query, "refId": name },
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": true,
            "includeAll": true,
            "allValue": ".*",
            "current": { "text": "All", "value": "$__all" },
        })
    };
    json!([
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
        },
        of_label("job", "Cluster", "label_values(shoal_build_info, job)"),
        of_label("instance", "Node", "label_values(shoal_build_info{job=~\"$job\"}, instance)"),
    ])
}

fn size(look: Look) -> (u64, u64) {
    match look {
        Look::Number => (4, 4),
        Look::Lines | Look::Areas => (12, 8),
    }
}

/// Where the next panel goes, from left to right and then down.
#[derive(Default)]
struct Place {
    x: u64,
    y: u64,
    line: u64,
}

impl Place {
    fn take(&mut self, width: u64, height: u64) -> Value {
        if self.x + width > WIDTH || (self.line != 0 && height != self.line) {
            self.new_line();
        }
        let at = json!({ "x": self.x, "y": self.y, "w": width, "h": height });
        self.x += width;
        self.line = height;
        at
    }

    fn new_line(&mut self) {
        self.y += self.line;
        (self.x, self.line) = (0, 0);
    }
}

fn render_panel(id: usize, panel: &Panel, at: &Value) -> Value {
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..='Z')
        .map(|(query, letter)| {
            json!({
                "refId": letter.to_string(),
                "datasource": { "type": "prometheus", "uid": "${datasource}" },
                "expr": query.expression,
                "legendFormat": if query.legend.is_empty() { "__auto" } else { query.legend },
                "instant": panel.look == Look::Number,
                "range": panel.look != Look::Number,
            })
        })
        .collect();
    json!({
        "id": id,
        "type": if panel.look == Look::Number { "stat" } else { "timeseries" },
        "title": panel.title,
        "description": description(panel),
        "datasource": { "type": "prometheus", "uid": "${datasource}" },
        "gridPos": at,
        "targets": targets,
        "fieldConfig": { "defaults": field(panel), "overrides": [] },
        "options": options(panel.look),
    })
}

/// What the catalogue says of the metrics of a panel.
fn description(panel: &Panel) -> String {
    let mut sentences: Vec<String> = Vec::new();
    for query in &panel.queries {
        for metric in metrics_in(&query.expression).expect("panels ask for what is counted") {
            let sentence = format!("{}: {}", metric.name, metric.help);
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
    }
    sentences.join("\n\n")
}

fn field(panel: &Panel) -> Value {
    let unit = match panel.unit {
        Unit::Count | Unit::YesNo => "short",
        Unit::PerSecond => "cps",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "Bps",
        Unit::Share => "percentunit",
    };
    let mut field = json!({ "unit": unit, "min": 0 });
    if panel.unit == Unit::YesNo {
        field["max"] = json!(1);
        field["mappings"] = json!([{
            "type": "value",
            "options": { "0": { "text": "no" }, "1": { "text": "yes" } },
        }]);
    }
    match panel.look {
        Look::Number => field["color"] = json!({ "mode": "fixed", "fixedColor": "text" }),
        Look::Lines => field["custom"] = json!({ "fillOpacity": 0, "lineWidth": 1 }),
        Look::Areas => {
            field["custom"] = json!({
                "fillOpacity": 30,
                "lineWidth": 1,
                "stacking": { "mode": "normal", "group": "A" },
            });
        }
    }
    field
}

fn options(look: Look) -> Value {
    match look {
        Look::Number => json!({
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "colorMode": "value",
            "graphMode": "none",
        }),
        Look::Lines | Look::Areas => json!({
            "legend": { "displayMode": "list", "placement": "bottom" },
            "tooltip": { "mode": "multi", "sort": "desc" },
        }),
    }
}
