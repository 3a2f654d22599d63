//! Bodies of requests: bounded in size, in time, and in what all of them together take.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::server;
use crate::limits;

/// The room for all bodies that are not small, in units of [`limits::HTTP_SMALL_BODY_BYTES`].
static ROOM: Semaphore =
    Semaphore::const_new(limits::HTTP_BODIES_BYTES / limits::HTTP_SMALL_BODY_BYTES);

/// Why a body was not read. The connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is compressed, or otherwise not what it stands for.
    #[error("Expecting 'Content-Encoding' to be absent: send the body as it is")]
    Encoded,
    /// More than [`limits::HTTP_BODY_BYTES`].
    #[error("the body is larger than {} bytes", limits::HTTP_BODY_BYTES)]
    TooLarge,
    /// It did not arrive within [`limits::HTTP_BODY`].
    #[error("the body did not arrive within {} s", limits::HTTP_BODY.as_secs())]
    TooSlow,
    /// The connection broke, or the chunks make no sense.
    #[error("the body is cut off or malformed")]
    Broken,
    /// Other bodies take all of [`limits::HTTP_BODIES_BYTES`].
    #[error("other requests take all room for bodies at the moment: try again soon")]
    NoRoom,
}

impl BodyError {
    /// What to answer.
    pub fn status(self) -> StatusCode {
        match self {
            BodyError::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
            BodyError::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Reads all of it. A large body holds its part of the room for as long as its bytes live.
///
/// # Errors
/// [`BodyError`] says which bound was broken.
pub async fn read(headers: &HeaderMap, body: Incoming) -> Result<Bytes, BodyError> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).into_iter();
    if !encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(BodyError::Encoded);
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limits::HTTP_BODY_BYTES) {
        return Err(BodyError::TooLarge);
    }
    match server::body(tokio::time::timeout(limits::HTTP_BODY, gather(body))).await {
        Ok(gathered) => gathered,
        Err(_) => Err(BodyError::TooSlow),
    }
}

async fn gather(mut body: Incoming) -> Result<Bytes, BodyError> {
    let mut gathered = Gathered::default();
    while let Some(frame) = body.frame().await {
        // What is no data are trailers, which nobody here reads.
        if let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() {
            gathered.push(data)?;
        }
    }
    Ok(gathered.whole())
}

/// What has come of a body.
#[derive(Debug, Default)]
struct Gathered {
    /// The first piece: mostly it is all.
    first: Bytes,
    /// From the second piece on, everything.
    bytes: Vec<u8>,
    room: Option<SemaphorePermit<'static>>,
}

impl Gathered {
    fn push(&mut self, data: Bytes) -> Result<(), BodyError> {
        if self.first.is_empty() {
            self.first = data;
            return Ok(());
        }
        let length = self.first.len().max(self.bytes.len()) + data.len();
        if length > limits::HTTP_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        self.make_room(length / limits::HTTP_SMALL_BODY_BYTES)?;
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&self.first);
        }
        self.bytes.extend_from_slice(&data);
        Ok(())
    }

    fn make_room(&mut self, units: usize) -> Result<(), BodyError> {
        let held = self.room.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = u32::try_from(units.saturating_sub(held)).map_err(|_| BodyError::TooLarge)?;
        if more == 0 {
            return Ok(());
        }
        let more = ROOM.try_acquire_many(more).map_err(|_| BodyError::NoRoom)?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }

    fn whole(self) -> Bytes {
        match (self.bytes.is_empty(), self.room) {
            (true, _) => self.first,
            (false, None) => Bytes::from(self.bytes),
            (false, Some(room)) => Bytes::from_owner(Roomy {
                bytes: self.bytes,
                _room: room,
            }),
        }
    }
}

/// Bytes with the room that they take.
struct Roomy {
    bytes: Vec<u8>,
    _room: SemaphorePermit<'static>,
}

impl AsRef<[u8]> for Roomy {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = limits::HTTP_SMALL_BODY_BYTES / 2;

    fn pieces(count: usize) -> Result<Bytes, BodyError> {
        let mut gathered = Gathered::default();
        for number in 0..count {
            gathered.push(Bytes::from(vec![number as u8; PIECE]))?;
        }
        Ok(gathered.whole())
    }

    /// One test, since the room is that of the process.
    #[test]
    fn large_bodies_share_a_room() {
        let all = ROOM.available_permits();
        assert_eq!(pieces(0), Ok(Bytes::new()));
        let small = pieces(1).expect("it fits");
        assert_eq!((small.len(), ROOM.available_permits()), (PIECE, all));
        let large = pieces(8).expect("it fits");
        assert_eq!(large.len(), 8 * PIECE);
        assert_eq!((large[0], large[PIECE], large[8 * PIECE - 1]), (0, 1, 7));
        assert_eq!(ROOM.available_permits(), all - 4);
        let too_many = limits::HTTP_BODY_BYTES / PIECE + 1;
        assert_eq!(pieces(too_many), Err(BodyError::TooLarge));

        let others = u32::try_from(all - 6).expect("it is few");
        let others = ROOM.try_acquire_many(others).expect("they are free");
        assert_eq!(pieces(8), Err(BodyError::NoRoom));
        assert_eq!(ROOM.available_permits(), 2);
        drop((large, others));
        assert_eq!(ROOM.available_permits(), all);
    }
}
