//! `shoal monitor`: what happens among the members, line by line.

use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::OutputForm;
use crate::cli::output::{calendar, print_line, printable, text_at};

/// Prints until the node ends, or the reader goes away.
///
/// # Errors
/// What the API says, or that the stream broke off.
pub fn monitor(client: &Client, form: OutputForm) -> Result<(), Failure> {
    let mut stream = client.follow("/shoal/v1/members/stream", None)?;
    loop {
        let sent = match stream.next_event() {
            Ok(Some(sent)) => sent,
            Ok(None) => return Ok(()),
            Err(error) => {
                let error = format!("the stream broke off: {error}");
                return Err(Failure::new(Exit::Failed, error, "the node may have ended"));
            }
        };
        let goes_on = match form {
            OutputForm::Json => print_line(&sent.data)?,
            OutputForm::Table => print_line(&line(&sent.kind, &sent.data))?,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

fn line(kind: &str, data: &str) -> String {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let mut line = format!("{} {kind}", calendar(event["time"].as_f64()));
    for (key, pointer) in [
        ("name", "/member/name"),
        ("addr", "/member/addr"),
        ("id", "/member/id"),
        ("name", "/name"),
        ("ltime", "/ltime"),
        ("payload", "/payload"),
        ("payload_base64", "/payload_base64"),
        ("count", "/count"),
    ] {
        let text = text_at(&event, pointer);
        if !text.is_empty() {
            line += &format!(" {key}={}", printable(&text));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_safe_for_a_terminal() {
        let data = r#"{"ltime":7,"name":"deploy","payload":"a\u001bb","time":1.5,"type":"user"}"#;
        assert_eq!(
            line("user", data),
            "1970-01-01T00:00:01.500Z user name=deploy ltime=7 payload=a?b"
        );
        assert_eq!(line("x", "nonsense"), " x");
    }
}
