//! Reading a request's body: bounded in size and in time.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::server;
use crate::limits;

/// Why a body was not read. The connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More than [`limits::HTTP_BODY_BYTES`].
    #[error("the body is larger than {} bytes", limits::HTTP_BODY_BYTES)]
    TooLarge,
    /// It did not arrive within [`limits::HTTP_BODY`].
    #[error("the body did not arrive within {} s", limits::HTTP_BODY.as_secs())]
    TooSlow,
    /// The connection broke, or the chunks make no sense.
    #[error("the body is cut off or malformed")]
    Broken,
}

impl BodyError {
    /// What to answer.
    pub fn status(self) -> StatusCode {
        match self {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads all of it.
///
/// # Errors
/// [`BodyError`] says which bound was broken.
pub async fn read(headers: &HeaderMap, body: Incoming) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limits::HTTP_BODY_BYTES) {
        return Err(BodyError::TooLarge);
    }
    let limited = Limited::new(body, limits::HTTP_BODY_BYTES).collect();
    match server::body(tokio::time::timeout(limits::HTTP_BODY, limited)).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(BodyError::TooLarge)
        }
        Ok(Err(_)) => Err(BodyError::Broken),
    }
}
