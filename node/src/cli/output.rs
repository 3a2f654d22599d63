//! How results look: a table with columns for people, or the API's JSON as it came.

use std::io::{self, Write};

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::flags::OutputForm;

/// One column: its heading, and how to get its text out of a row's JSON.
pub struct Column {
    /// In capitals.
    pub heading: &'static str,
    /// The cell of one row; empty shows as `-`.
    pub cell: fn(&Value) -> String,
}

/// Prints a document: all of it as JSON, or the rows under `list` as a table.
///
/// # Errors
/// [`Exit::Failed`] if standard output is gone.
pub fn print_list(
    form: OutputForm,
    document: &Value,
    list: &str,
    columns: &[Column],
) -> Result<(), Failure> {
    match form {
        OutputForm::Json => print_json(document),
        OutputForm::Table => {
            let none = Vec::new();
            let rows = document[list].as_array().unwrap_or(&none);
            print_text(&table(rows, columns))
        }
    }
}

/// Prints a document, indented.
///
/// # Errors
/// [`Exit::Failed`] if standard output is gone.
pub fn print_json(document: &Value) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(document).expect("a JSON value has a text");
    text.push('\n');
    print_text(&text)
}

/// Prints a text as it is; a reader that has gone away is no failure.
///
/// # Errors
/// [`Exit::Failed`] if standard output cannot be written.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("cannot write to standard output: {error}"),
            "",
        )),
    }
}

/// Prints a line of a stream; false if the reader has gone away and nothing more is wanted.
///
/// # Errors
/// [`Exit::Failed`] if standard output cannot be written.
pub fn print_line(line: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("cannot write to standard output: {error}"),
            "",
        )),
    }
}

/// Seconds of the calendar as `2026-01-31T13:05:09.250Z`; empty if there are none.
pub fn calendar(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|seconds| (0.0..253_402_300_800.0).contains(seconds)) else {
        return String::new();
    };
    let millis = (seconds * 1000.0) as u64;
    let (mut days, rest) = (millis / 86_400_000, millis % 86_400_000);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    loop {
        let length = match month {
            1 => 28 + u64::from(leap(year)),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    let (month, day) = (month + 1, days + 1);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The text at a path of keys; numbers and flags as text, anything else empty.
pub fn text_at(row: &Value, pointer: &str) -> String {
    match row.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

fn table(rows: &[Value], columns: &[Column]) -> String {
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|c| c.heading.to_owned()).collect()];
    for row in rows {
        let cells = columns.iter().map(|column| printable(&(column.cell)(row)));
        lines.push(cells.collect());
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| {
            lines
                .iter()
                .map(|l| l[i].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(cell);
            let pad = width - cell.chars().count() + 2;
            row.extend(std::iter::repeat_n(' ', pad));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A text on one line: what steers a terminal becomes `?`, nothing becomes `-`.
pub fn printable(cell: &str) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    cell.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.5, "2000-02-29T00:00:00.500Z"),
            (1_735_689_599.0, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(calendar(Some(seconds)), text);
        }
        assert_eq!(calendar(Some(-1.0)), "");
        assert_eq!(calendar(Some(f64::NAN)), "");
        assert_eq!(calendar(None), "");
    }

    #[test]
    fn columns_line_up_and_terminals_are_safe() {
        let columns = [
            Column {
                heading: "NAME",
                cell: |row| text_at(row, "/name"),
            },
            Column {
                heading: "N",
                cell: |row| text_at(row, "/deep/n"),
            },
        ];
        let rows = [
            json!({"name": "é\u{1b}[31m", "deep": {"n": 7}}),
            json!({"name": "longer", "deep": {}}),
        ];
        assert_eq!(table(&rows, &columns), "NAME    N\né?[31m  7\nlonger  -\n");
    }
}
