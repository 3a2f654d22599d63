//! A stream of server-sent events from the API, read line by line as it comes.
//!
//! Source: the HTML standard's "Server-sent events", as far as our own API uses it.

use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;

use super::client::{chunk_size, malformed, read_line};
use crate::limits;

/// One event as it was dispatched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its kind.
    pub kind: String,
    /// Its text.
    pub data: String,
}

/// An open stream.
#[derive(Debug)]
pub struct Stream<R> {
    lines: BufReader<Chunks<R>>,
    /// The position of the last block that was read, if the server gave one.
    pub seen: Option<String>,
}

/// A stream over TCP.
pub type TcpEvents = Stream<BufReader<TcpStream>>;

impl<R: BufRead> Stream<R> {
    /// Over a body that comes in chunks.
    pub fn new(body: R) -> Stream<R> {
        Stream {
            lines: BufReader::new(Chunks::new(body)),
            seen: None,
        }
    }

    /// The next event; `None` at the end of the stream.
    ///
    /// # Errors
    /// The connection broke, or what comes is no such stream.
    pub fn next_event(&mut self) -> io::Result<Option<Sent>> {
        let mut sent = Sent::default();
        loop {
            let Some(line) = self.line()? else {
                return Ok(None);
            };
            if line.is_empty() {
                if !sent.data.is_empty() {
                    return Ok(Some(sent));
                }
                sent = Sent::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.seen = Some(value.to_owned()),
                "event" => value.clone_into(&mut sent.kind),
                "data" => {
                    if !sent.data.is_empty() {
                        sent.data.push('\n');
                    }
                    sent.data.push_str(value);
                }
                // Comments, and fields of no use here.
                _ => {}
            }
        }
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.lines).take(limits::CLIENT_EVENT_BYTES);
        bounded.read_until(b'\n', &mut line)?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => String::from_utf8(line)
                .map(Some)
                .map_err(|_| malformed("an event is not text")),
            Some(_) => Err(malformed("an event is cut off or too long")),
        }
    }
}

/// A body in chunks, as one run of bytes.
#[derive(Debug)]
pub(super) struct Chunks<R> {
    body: R,
    left: u64,
    ended: bool,
}

impl<R> Chunks<R> {
    /// The body begins here.
    pub(super) fn new(body: R) -> Chunks<R> {
        Chunks {
            body,
            left: 0,
            ended: false,
        }
    }
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended || into.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.left = chunk_size(&read_line(&mut self.body)?)?;
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let count = (&mut self.body).take(self.left).read(into)?;
        if count == 0 {
            return Err(malformed("the stream is cut off"));
        }
        self.left -= count as u64;
        if self.left == 0 && !read_line(&mut self.body)?.is_empty() {
            return Err(malformed("a chunk of the answer is longer than it says"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_across_chunks() {
        let body = "8\r\n: hi\n\nid\r\n12\r\n: 7.0\nevent: a\ndat\r\n8\r\na: {1}\n\n\r\n7\r\nid: 9\n\n\r\n0\r\n\r\n";
        let mut stream = Stream::new(BufReader::new(body.as_bytes()));
        let sent = stream.next_event().unwrap().unwrap();
        assert_eq!((sent.kind.as_str(), sent.data.as_str()), ("a", "{1}"));
        assert_eq!(stream.seen.as_deref(), Some("7.0"));
        assert_eq!(stream.next_event().unwrap(), None);
        assert_eq!(stream.seen.as_deref(), Some("9"));
    }

    #[test]
    fn a_broken_stream_is_an_error() {
        for body in [
            "",
            "5\r\nab",
            "zz\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
        ] {
            let mut stream = Stream::new(BufReader::new(body.as_bytes()));
            assert!(stream.next_event().is_err(), "{body:?}");
        }
    }
}
