//! Why a request is not served: a status code and a short text, both as Mesos gives them.
//!
//! Clients match on the code and sometimes on the text, so the texts are part of the contract.

use thiserror::Error;

use crate::codec::DecodeError;

/// Why a request is refused. Nothing happened; the text is the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Another method than the one the path takes; the answer carries `Allow: POST`.
    #[error("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'.")]
    Method {
        /// As sent.
        method: String,
    },
    /// The body's type is not said.
    #[error("Expecting 'Content-Type' to be present")]
    NoContentType,
    /// The body's type is none of those that are read.
    #[error("Expecting 'Content-Type' of application/json or application/x-protobuf")]
    ContentType,
    /// None of the types that can be written is wanted.
    #[error("Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'")]
    Accept,
    /// The body cannot be read.
    #[error(transparent)]
    Body(#[from] DecodeError),
    /// The body is a call that makes no sense.
    #[error("Failed to validate scheduler::Call: {0}")]
    Invalid(String),
    /// The same of the operator API.
    #[error("Failed to validate {api}::Call: {why}")]
    InvalidOperation {
        /// `master` or `agent`.
        api: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A subscription on a stream.
    #[error("Subscribe calls should not include the 'Mesos-Stream-Id' header")]
    SubscribeWithStream,
    /// No framework has that id.
    #[error("Framework cannot be found")]
    UnknownFramework,
    /// The framework belongs to another principal.
    #[error(
        "Authenticated principal '{authenticated}' does not match principal '{framework}' set in \
         `FrameworkInfo`"
    )]
    Principal {
        /// Who calls.
        authenticated: String,
        /// Whose framework it is; may be empty.
        framework: String,
    },
    /// The framework has no stream at the moment.
    #[error("Framework is not subscribed")]
    NotSubscribed,
    /// A call that does not say on which stream it is made.
    #[error("All non-subscribe calls should include the 'Mesos-Stream-Id' header")]
    NoStream,
    /// A call on a stream that is not the framework's.
    #[error(
        "The stream ID '{stream}' included in this request didn't match the stream ID currently \
         associated with framework ID {framework}"
    )]
    OtherStream {
        /// As sent, shortened.
        stream: String,
        /// As sent.
        framework: String,
    },
    /// A call that this version does not know how to serve; the text says what.
    #[error("501 Not Implemented. {0}")]
    NotImplemented(String),
    /// Nobody can answer at the moment: there is no leader, or the outcome is unknown.
    #[error("503 Service Unavailable. {0}")]
    Unavailable(String),
}

impl Refusal {
    /// The status code of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Method { .. } => 405,
            Refusal::ContentType => 415,
            Refusal::Accept => 406,
            Refusal::Body(DecodeError::TooLarge | DecodeError::TooMuch) => 413,
            Refusal::NotSubscribed => 403,
            Refusal::NotImplemented(_) => 501,
            Refusal::Unavailable(_) => 503,
            Refusal::NoContentType
            | Refusal::Body(
                DecodeError::Syntax { .. }
                | DecodeError::Trailing { .. }
                | DecodeError::Fields { .. }
                | DecodeError::Protobuf { .. },
            )
            | Refusal::Invalid(_)
            | Refusal::InvalidOperation { .. }
            | Refusal::SubscribeWithStream
            | Refusal::UnknownFramework
            | Refusal::Principal { .. }
            | Refusal::NoStream
            | Refusal::OtherStream { .. } => 400,
        }
    }
}
