//! The command line's HTTP client: one blocking request per connection, the first address that
//! answers wins.
//!
//! What deliberately does not live here: retries (a command that failed says so), redirects (every
//! master answers every call), keep-alive.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use shoal_api::agent::HostPort;

use super::exit::{Exit, Failure};
use super::flags::parse_host_port;
use super::stream::{Chunks, Stream, TcpEvents};
use crate::limits;

/// An answer of the API.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most [`limits::CLIENT_BODY_BYTES`].
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The body of our own errors.
#[derive(Debug, Deserialize)]
struct Problem {
    error: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    hint: String,
    #[serde(default)]
    unchanged: bool,
}

/// Speaks to the API at a list of addresses.
#[derive(Clone, Debug)]
pub struct Client {
    addresses: Vec<HostPort>,
    /// How long it waits for more of an answer.
    patience: Duration,
}

impl Client {
    /// From the text of `--addr`.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the text is no list of addresses.
    pub fn new(list: &str) -> Result<Client, Failure> {
        let mut addresses = Vec::new();
        for part in list.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let bare = part.strip_prefix("http://").unwrap_or(part);
            let address = parse_host_port(bare.trim_end_matches('/'))
                .map_err(|why| Failure::new(Exit::Usage, format!("--addr: {why}"), ""))?;
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                "--addr is empty",
                "name the API of a master as HOST:PORT, or leave --addr and SHOAL_ADDR unset",
            ));
        }
        Ok(Client {
            addresses,
            patience: limits::CLIENT_READ,
        })
    }

    /// Of one address, for somebody who must not wait long.
    pub fn impatient(address: HostPort, patience: Duration) -> Client {
        Client {
            addresses: vec![address],
            patience,
        }
    }

    /// Whom it asks.
    pub fn addresses(&self) -> &[HostPort] {
        &self.addresses
    }

    /// Asks, and expects JSON with a status of success.
    ///
    /// # Errors
    /// What the API says, as a [`Failure`].
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.request("GET", path, None)?;
        parse_json(&expect_success(answer)?)
    }

    /// Sends JSON, and expects JSON or nothing with a status of success.
    ///
    /// # Errors
    /// What the API says, as a [`Failure`].
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let answer = self.request("POST", path, Some(body))?;
        let answer = expect_success(answer)?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        parse_json(&answer)
    }

    /// Asks, and expects bytes with a status of success.
    ///
    /// # Errors
    /// What the API says, as a [`Failure`].
    pub fn get_raw(&self, path: &str) -> Result<Answer, Failure> {
        expect_success(self.request("GET", path, None)?)
    }

    /// Sends a body as it is to the first address, with a header set; any status is an answer.
    ///
    /// # Errors
    /// No answer, as a [`Failure`].
    pub fn pass_on(&self, path: &str, header: &str, body: &[u8]) -> Result<Answer, Failure> {
        let address = self.addresses.first().expect("a client has an address");
        let head = format!("POST {path} HTTP/1.1\r\n{header}: 1\r\n");
        send(address, &head, body, self.patience)
            .map_err(|sent| Failure::new(Exit::NoMaster, format!("{address}: {}", sent.error), ""))
    }

    /// Opens a stream of events at the first address that gives one.
    ///
    /// # Errors
    /// What the API says, as a [`Failure`].
    pub fn follow(&self, path: &str, seen: Option<&str>) -> Result<TcpEvents, Failure> {
        let seen = seen.map(|id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!("GET {path} HTTP/1.1\r\n{}", seen.unwrap_or_default());
        self.open(&head).map(Stream::new)
    }

    /// Asks for a stream of bytes, and writes it as it comes. `progress` is told how many bytes are
    /// written.
    ///
    /// # Errors
    /// What the API says, or that the stream broke off; then part of it may be written.
    pub fn download(
        &self,
        path: &str,
        out: &mut impl Write,
        mut progress: impl FnMut(u64),
    ) -> Result<(), Failure> {
        let mut body = Chunks::new(self.open(&format!("GET {path} HTTP/1.1\r\n"))?);
        let broke = |error: io::Error| {
            Failure::new(
                Exit::Failed,
                format!("the stream broke off: {error}"),
                "try again",
            )
        };
        let (mut written, mut piece) = (0, vec![0; 64 * 1024]);
        loop {
            let count = body.read(&mut piece).map_err(broke)?;
            if count == 0 {
                return Ok(());
            }
            out.write_all(&piece[..count]).map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot write: {error}"), "")
            })?;
            written += count as u64;
            progress(written);
        }
    }

    /// The body of the first address that gives one, a stream in chunks.
    fn open(&self, head: &str) -> Result<BufReader<TcpStream>, Failure> {
        let mut silent = Vec::new();
        let mut unavailable = None;
        for address in &self.addresses {
            let open =
                ask(address, head, &[], self.patience).map_err(|unanswered| unanswered.error);
            let open = open.and_then(|mut reader| Ok((read_head(&mut reader)?, reader)));
            match open {
                Ok((answer, reader)) if answer.status == 200 => return Ok(reader),
                Ok((mut answer, mut reader)) => {
                    answer.body = read_body(&mut reader, &answer).unwrap_or_default();
                    if answer.status != 503 {
                        return Err(failure_of(&answer));
                    }
                    unavailable = Some(failure_of(&answer));
                }
                Err(error) => silent.push(format!("{address}: {error}")),
            }
        }
        Err(unavailable.unwrap_or_else(|| unreachable_masters(&silent)))
    }

    /// One request to the first address that answers. One that cannot answer now is passed over,
    /// unless the request may have changed something there.
    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let head = format!("{method} {path} HTTP/1.1\r\n");
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut silent = Vec::new();
        let mut leaderless = None;
        for address in &self.addresses {
            match send(address, &head, body.as_bytes(), self.patience) {
                Ok(answer) if answer.status == 503 && (method == "GET" || unchanged(&answer)) => {
                    leaderless = Some(answer);
                }
                Ok(answer) => return Ok(answer),
                Err(sent) if sent.maybe_done && method != "GET" => {
                    return Err(Failure::new(
                        Exit::Failed,
                        format!(
                            "{address} took the request and did not answer: {}",
                            sent.error
                        ),
                        "it may have been carried out: look before you try again",
                    ));
                }
                Err(sent) => silent.push(format!("{address}: {}", sent.error)),
            }
        }
        match leaderless {
            Some(answer) => Ok(answer),
            None => Err(unreachable_masters(&silent)),
        }
    }
}

fn unreachable_masters(silent: &[String]) -> Failure {
    Failure::new(
        Exit::NoMaster,
        format!("no master can be reached ({})", silent.join("; ")),
        "name the API of a running master by --addr HOST:PORT or SHOAL_ADDR; \
         `shoal dev` starts a cluster",
    )
}

/// Whether an answer says that it changed nothing.
fn unchanged(answer: &Answer) -> bool {
    serde_json::from_slice::<Problem>(&answer.body).is_ok_and(|problem| problem.unchanged)
}

/// A text as one segment of a path, or one value of a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Turns a status of failure into the exit code that belongs to it.
fn expect_success(answer: Answer) -> Result<Answer, Failure> {
    match answer.status {
        200..300 => Ok(answer),
        _ => Err(failure_of(&answer)),
    }
}

/// What a status of failure means to the caller.
fn failure_of(answer: &Answer) -> Failure {
    let exit = match answer.status {
        404 => Exit::NotFound,
        503 => Exit::NoMaster,
        400 => Exit::Usage,
        _ => Exit::Failed,
    };
    let (error, hint) = match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(problem) if problem.detail.is_empty() => (problem.error, problem.hint),
        Ok(problem) => (
            format!("{}: {}", problem.error, problem.detail),
            problem.hint,
        ),
        Err(_) => {
            let text = String::from_utf8_lossy(&answer.body);
            let text: String = text.chars().take(500).collect();
            (
                format!("the API answered {}: {}", answer.status, text.trim()),
                String::new(),
            )
        }
    };
    Failure::new(exit, error, hint)
}

fn parse_json(answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the API's answer is not JSON: {error}"),
            "is the address that of a Shoal master?",
        )
    })
}

/// A request that got no answer.
struct Unanswered {
    error: io::Error,
    /// Whether the other side may have acted on it.
    maybe_done: bool,
}

/// Sends a request; what is read from the result is the answer.
fn ask(
    address: &HostPort,
    head: &str,
    body: &[u8],
    patience: Duration,
) -> Result<BufReader<TcpStream>, Unanswered> {
    let unsent = |error| Unanswered {
        error,
        maybe_done: false,
    };
    let mut stream = connect(address, patience).map_err(unsent)?;
    let head = format!(
        "{head}Host: {address}\r\nConnection: close\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    let sent = |error| Unanswered {
        error,
        maybe_done: true,
    };
    stream.write_all(&request).map_err(sent)?;
    Ok(BufReader::new(stream))
}

fn send(
    address: &HostPort,
    head: &str,
    body: &[u8],
    patience: Duration,
) -> Result<Answer, Unanswered> {
    let mut reader = ask(address, head, body, patience)?;
    read_answer(&mut reader).map_err(|error| Unanswered {
        error,
        maybe_done: true,
    })
}

fn connect(address: &HostPort, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for candidate in (&*address.host, address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, limits::CLIENT_CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// One line without its end, bounded.
pub(super) fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    let mut bounded = reader.take(limits::CLIENT_LINE_BYTES);
    bounded.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(malformed("the answer's head is cut off or too long"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| malformed("the answer's head is not text"))
}

fn read_answer(reader: &mut impl BufRead) -> io::Result<Answer> {
    let mut answer = read_head(reader)?;
    answer.body = read_body(reader, &answer)?;
    Ok(answer)
}

/// An answer whose body has not been read.
fn read_head(reader: &mut impl BufRead) -> io::Result<Answer> {
    let first = read_line(reader)?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| malformed("the answer is not HTTP"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        if headers.len() >= limits::HTTP_HEADERS {
            return Err(malformed("the answer has too many headers"));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed("a header of the answer has no colon"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Answer {
        status,
        headers,
        body: Vec::new(),
    })
}

fn read_body(reader: &mut impl BufRead, answer: &Answer) -> io::Result<Vec<u8>> {
    let chunked = answer
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    if chunked {
        return read_chunks(reader);
    }
    let mut body = Vec::new();
    match answer.header("content-length") {
        Some(length) => {
            let length: u64 = length
                .parse()
                .map_err(|_| malformed("the answer's Content-Length is no number"))?;
            check_size(length)?;
            reader.take(length).read_to_end(&mut body)?;
            if body.len() as u64 != length {
                return Err(malformed("the answer is cut off"));
            }
        }
        None => {
            reader
                .take(limits::CLIENT_BODY_BYTES + 1)
                .read_to_end(&mut body)?;
            check_size(body.len() as u64)?;
        }
    }
    Ok(body)
}

fn check_size(bytes: u64) -> io::Result<()> {
    if bytes > limits::CLIENT_BODY_BYTES {
        return Err(malformed("the answer is too large"));
    }
    Ok(())
}

/// The size that the line before a chunk tells.
pub(super) fn chunk_size(line: &str) -> io::Result<u64> {
    let size = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(size, 16).map_err(|_| malformed("a chunk of the answer has no size"))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = chunk_size(&read_line(reader)?)?;
        if size == 0 {
            while !read_line(reader)?.is_empty() {}
            return Ok(body);
        }
        check_size(size.saturating_add(body.len() as u64))?;
        let before = body.len();
        reader.take(size).read_to_end(&mut body)?;
        if (body.len() - before) as u64 != size {
            return Err(malformed("the answer is cut off"));
        }
        if !read_line(reader)?.is_empty() {
            return Err(malformed("a chunk of the answer is longer than it says"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Answer> {
        read_answer(&mut BufReader::new(text.as_bytes()))
    }

    #[test]
    fn bodies_of_all_three_kinds_are_read() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n",
        ] {
            let answer = read(text).unwrap();
            assert_eq!((answer.status, answer.body), (200, b"hello".to_vec()));
        }
    }

    #[test]
    fn a_bad_answer_is_an_error() {
        for text in [
            "",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn our_errors_keep_their_hint() {
        let failure = expect_success(Answer {
            status: 404,
            headers: Vec::new(),
            body: br#"{"error":"task 'x' does not exist","detail":"","hint":"shoal ps"}"#.to_vec(),
        })
        .unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(
            failure.to_string(),
            "task 'x' does not exist\nhint: shoal ps"
        );
    }
}
