//! One open peer connection: frames out in batches, frames in one by one, both bounded in size.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use metrics::Counter;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::OwnedSemaphorePermit;

use super::frame::Frame;
use super::identity::{PeerIdentity, Purpose};
use crate::limits;
use crate::metrics::{catalogue, counter};

/// Why nothing more comes from a connection.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A frame is too long, or no frame at all. Nothing that follows it means anything.
    #[error("a frame is malformed")]
    Malformed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    /// Who is at the other end.
    pub peer: PeerIdentity,
    /// What it carries.
    pub purpose: Purpose,
    /// Its incoming side.
    pub reader: FrameReader,
    /// Its outgoing side.
    pub writer: FrameWriter,
    /// Its place among the connections that others opened.
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: PeerIdentity,
        purpose: Purpose,
        place: Option<OwnedSemaphorePermit>,
    ) -> Connection {
        let (read, write) = stream.into_split();
        Connection {
            peer,
            purpose,
            reader: FrameReader {
                stream: read,
                buffer: BytesMut::new(),
                counted: Counted::new("in", purpose),
            },
            writer: FrameWriter {
                stream: write,
                buffer: BytesMut::new(),
                counted: Counted::new("out", purpose),
            },
            _place: place,
        }
    }
}

struct Counted {
    frames: Counter,
    bytes: Counter,
}

impl Counted {
    fn new(direction: &'static str, purpose: Purpose) -> Counted {
        let labels = [direction, purpose.label()];
        Counted {
            frames: counter(&catalogue::PEER_FRAMES, &labels),
            bytes: counter(&catalogue::PEER_BYTES, &labels),
        }
    }

    fn count(&self, frames: u64, bytes: usize) {
        self.frames.increment(frames);
        self.bytes.increment(bytes as u64);
    }
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

/// The incoming side.
#[derive(Debug)]
pub struct FrameReader {
    stream: OwnedReadHalf,
    buffer: BytesMut,
    counted: Counted,
}

impl FrameReader {
    /// The next payload; `None` once the other side closed in good order. Safe to cancel.
    ///
    /// # Errors
    /// [`ReadError`]; nothing more can be read then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let limit = limits::PEER_FRAME_BYTES;
        let Some(bytes) = next_frame(&mut self.stream, &mut self.buffer, limit).await? else {
            return Ok(None);
        };
        self.counted.count(1, bytes.len());
        let frame = Frame::decode(bytes).map_err(|_| ReadError::Malformed)?;
        Ok(Some(frame.payload))
    }
}

/// The next frame: what follows its length of four bytes, big end first. What was read beyond it
/// stays in the buffer, so cancelling loses nothing.
pub(super) async fn next_frame(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<Option<Bytes>, ReadError> {
    loop {
        let mut missing = 4;
        if let Some(head) = buffer.first_chunk::<4>() {
            let length = u32::from_be_bytes(*head) as usize;
            if length > limit {
                return Err(ReadError::Malformed);
            }
            if buffer.len() >= 4 + length {
                buffer.advance(4);
                return Ok(Some(buffer.split_to(length).freeze()));
            }
            missing = 4 + length - buffer.len();
        }
        // Memory follows what arrives, not what is announced.
        buffer.reserve(missing.clamp(4 * 1024, limits::PEER_READ_BYTES));
        if stream.read_buf(buffer).await? == 0 {
            return match buffer.is_empty() {
                true => Ok(None),
                false => Err(ReadError::Broken(io::ErrorKind::UnexpectedEof.into())),
            };
        }
    }
}

/// The outgoing side.
#[derive(Debug)]
pub struct FrameWriter {
    stream: OwnedWriteHalf,
    buffer: BytesMut,
    counted: Counted,
}

impl FrameWriter {
    /// Writes all payloads as one piece. Not safe to cancel.
    ///
    /// # Errors
    /// The connection broke; how much of it arrived is not known.
    pub async fn write(&mut self, payloads: &mut Vec<Bytes>) -> io::Result<()> {
        let count = payloads.len() as u64;
        for payload in payloads.drain(..) {
            put(&mut self.buffer, &Frame { payload });
        }
        self.counted.count(count, self.buffer.len());
        self.stream.write_all_buf(&mut self.buffer).await?;
        if self.buffer.capacity() > limits::PEER_BUFFER_BYTES {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }
}

/// Appends a message after its length.
pub(super) fn put(buffer: &mut BytesMut, message: &impl Message) {
    let length = message.encoded_len();
    assert!(
        length <= limits::PEER_FRAME_BYTES,
        "a frame of {length} bytes is sent"
    );
    buffer.reserve(4 + length);
    buffer.put_u32(u32::try_from(length).expect("the bound of a frame fits"));
    message
        .encode(buffer)
        .expect("the buffer has room for its own frame");
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(bytes: &[u8], limit: usize) -> (Vec<Bytes>, Result<(), ReadError>) {
        let (mut stream, mut buffer) = (bytes, BytesMut::new());
        let mut all = Vec::new();
        loop {
            match next_frame(&mut stream, &mut buffer, limit).await {
                Ok(Some(frame)) => all.push(frame),
                Ok(None) => return (all, Ok(())),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn frames_are_told_apart() {
        let mut buffer = BytesMut::new();
        for text in ["a", "", "ccc"] {
            put(
                &mut buffer,
                &Frame {
                    payload: Bytes::from_static(text.as_bytes()),
                },
            );
        }
        let (all, end) = frames(&buffer, 100).await;
        let payloads: Vec<Bytes> = all
            .into_iter()
            .map(|frame| Frame::decode(frame).unwrap().payload)
            .collect();
        assert_eq!(payloads, ["a", "", "ccc"].map(Bytes::from));
        assert!(end.is_ok());
    }

    #[tokio::test]
    async fn garbage_ends_the_stream() {
        let (all, end) = frames(b"GET / HTTP/1.1\r\n\r\n", 4096).await;
        assert!(all.is_empty() && matches!(end, Err(ReadError::Malformed)));
        let (all, end) = frames(b"\0\0\0\x09short", 4096).await;
        assert!(all.is_empty() && matches!(end, Err(ReadError::Broken(_))));
    }
}
