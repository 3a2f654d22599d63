//! What to do about each alert: as a page that nodes serve, and as Markdown.

use std::fmt::Write as _;

use crate::alert::Alert;
use crate::alerts::Group;

const TITLE: &str = "What to do about an alert";
const ABOUT: &str = "Each alert with what it means, what to look at and what to do. The dashboards \
                     and panels are those that `shoal dashboards` writes.";

/// The texts as Markdown.
pub fn markdown(groups: &[Group]) -> String {
    let mut text = format!("# {TITLE}\n\n{ABOUT}\n");
    for alert in groups.iter().flat_map(|group| &group.alerts) {
        section(&mut text, alert).expect("a string takes all");
    }
    text
}

fn section(text: &mut String, alert: &Alert) -> std::fmt::Result {
    let severity = alert.severity.as_str();
    writeln!(
        text,
        "\n## {}\n\n*{severity}* when this holds for {}:\n",
        alert.name, alert.hold
    )?;
    writeln!(text, "```promql\n{}\n```\n", alert.expression)?;
    writeln!(text, "{}", alert.meaning)?;
    for (title, steps) in [("Look at", alert.look), ("Do", alert.act)] {
        writeln!(text, "\n{title}:\n")?;
        for step in steps {
            writeln!(text, "- {step}")?;
        }
    }
    Ok(())
}

/// The texts as a page; the anchor of each is the name of the alert.
pub fn html(groups: &[Group]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Shoal: {TITLE}</title>\n<link rel=\"stylesheet\" href=\"/page.css\">\n</head>\n\
         <body class=\"text\">\n<main>\n<h1>{TITLE}</h1>\n<p>{}</p>\n",
        marked(ABOUT)
    );
    for alert in groups.iter().flat_map(|group| &group.alerts) {
        article(&mut page, alert).expect("a string takes all");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn article(page: &mut String, alert: &Alert) -> std::fmt::Result {
    writeln!(page, "<section id=\"{0}\">\n<h2>{0}</h2>", alert.name)?;
    let severity = alert.severity.as_str();
    writeln!(
        page,
        "<p><em>{severity}</em> when this holds for {}:</p>",
        alert.hold
    )?;
    writeln!(page, "<pre>{}</pre>", escaped(&alert.expression))?;
    writeln!(page, "<p>{}</p>", marked(alert.meaning))?;
    for (title, steps) in [("Look at", alert.look), ("Do", alert.act)] {
        writeln!(page, "<p>{title}:</p>\n<ul>")?;
        for step in steps {
            writeln!(page, "<li>{}</li>", marked(step))?;
        }
        writeln!(page, "</ul>")?;
    }
    writeln!(page, "</section>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A sentence whose code stands in backquotes and whose names stand in asterisks.
fn marked(text: &str) -> String {
    let mut page = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            page.push_str(&format!("<code>{}</code>", escaped(part)));
            continue;
        }
        for (at, part) in escaped(part).split('*').enumerate() {
            match at % 2 {
                0 => page.push_str(part),
                _ => page.push_str(&format!("<em>{part}</em>")),
            }
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_marked_and_escaped() {
        assert_eq!(
            marked("`a<b>*c*` of *d* & e"),
            "<code>a&lt;b&gt;*c*</code> of <em>d</em> &amp; e"
        );
    }
}
