//! A small HTTP client: one request per connection, whole answers, nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// Of the answer, chunks put together.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks for a path.
///
/// # Errors
/// What went wrong, for people.
pub fn get(address: &str, path: &str, accept: &str) -> Result<Answer, String> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    request(address, head.as_bytes()).map_err(|why| format!("GET {address}{path}: {why}"))
}

/// Asks for a JSON document.
///
/// # Errors
/// Also when the status is not 200.
pub fn json(address: &str, path: &str) -> Result<Value, String> {
    let answer = get(address, path, "application/json")?;
    if answer.status != 200 {
        return Err(format!(
            "GET {address}{path}: {} {}",
            answer.status,
            answer.text()
        ));
    }
    serde_json::from_slice(&answer.body).map_err(|why| format!("GET {address}{path}: {why}"))
}

/// Sends bytes as they are and reads the answer to the end of the connection.
///
/// # Errors
/// What went wrong, for people.
pub fn request(address: &str, bytes: &[u8]) -> Result<Answer, String> {
    let mut stream = TcpStream::connect(address).map_err(|why| why.to_string())?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(|why| why.to_string())?;
    stream.write_all(bytes).map_err(|why| why.to_string())?;
    let mut all = Vec::new();
    stream
        .read_to_end(&mut all)
        .map_err(|why| why.to_string())?;
    parse(&all)
}

fn parse(all: &[u8]) -> Result<Answer, String> {
    let end = all
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("no whole head came back")?;
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or("no status")?;
    let rest = &all[end + 4..];
    let chunked = head
        .lines()
        .any(|line| line == "transfer-encoding: chunked");
    let body = if chunked {
        unchunk(rest)?
    } else {
        rest.to_vec()
    };
    Ok(Answer { status, head, body })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let end = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .ok_or("a chunk is cut off")?;
        let length = String::from_utf8_lossy(&rest[..end]);
        let length = usize::from_str_radix(length.trim(), 16).map_err(|why| why.to_string())?;
        if length == 0 {
            return Ok(body);
        }
        let chunk = rest
            .get(end + 2..end + 2 + length)
            .ok_or("a chunk is cut off")?;
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + length..).ok_or("a chunk is cut off")?;
    }
}

#[test]
fn chunks_are_put_together() {
    let whole =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
    let answer = parse(whole).expect("this is an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcd"));
    assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc").is_err());
}
