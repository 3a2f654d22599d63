//! The target of the fuzzer for the peer port: what a connection carries from its first byte on.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use prost::Message;
use shoal_api::{ClusterId, Generation, Name, NodeId, RaftId};

use super::connection::{next_frame, put};
use super::frame::{Answer, AnswerBody, Frame, Handshake};
use super::identity::{self, Identity, Purpose};
use crate::limits;
use crate::roles::NodeRoles;

fn me(node: u128) -> Identity {
    let cluster = Arc::new(OnceLock::new());
    cluster.get_or_init(|| ClusterId(7));
    Identity {
        node: NodeId(node),
        generation: Generation(1),
        raft: Some(RaftId(9)),
        roles: NodeRoles::from_bits(3),
        name: Name::new("n1").expect("a name"),
        cluster,
    }
}

/// The frames in pieces of a stream, and whether it ended in good order.
fn frames(pieces: &[&[u8]], limit: usize) -> (Vec<Bytes>, bool) {
    let mut stream = pieces.to_vec();
    stream.reverse();
    let mut stream = Pieces(stream);
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    loop {
        let next = pin!(next_frame(&mut stream, &mut buffer, limit));
        match next.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(frame))) => found.push(frame),
            Poll::Ready(Ok(None)) => return (found, true),
            Poll::Ready(Err(_)) => return (found, false),
            Poll::Pending => panic!("pieces in memory are never awaited"),
        }
    }
}

/// Pieces that arrive one at a time, the last one first.
struct Pieces<'a>(Vec<&'a [u8]>);

impl tokio::io::AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let Some(piece) = self.0.pop() else {
            return Poll::Ready(Ok(()));
        };
        let (now, later) = piece.split_at(piece.len().min(buffer.remaining()));
        buffer.put_slice(now);
        if !later.is_empty() {
            self.0.push(later);
        }
        Poll::Ready(Ok(()))
    }
}

/// What somebody sends to the peer port, or answers from there. Says whether the first frame was
/// acceptable; panics if a promise is broken.
pub fn peer_frames(input: &[u8]) -> bool {
    let whole = frames(&[input], limits::PEER_FRAME_BYTES);
    let pieces: Vec<&[u8]> = input.chunks(5).collect();
    let cut = frames(&pieces, limits::PEER_FRAME_BYTES);
    assert_eq!(cut, whole, "cuts carry no meaning");
    let mut written = BytesMut::new();
    for frame in &whole.0 {
        if let Ok(frame) = Frame::decode(frame.clone()) {
            put(&mut written, &frame);
        }
    }
    let (again, ended) = frames(&[&written], limits::PEER_FRAME_BYTES);
    assert!(ended, "what is written is read to its end");
    for frame in again {
        let read = Frame::decode(frame.clone()).expect("what is written can be read");
        assert_eq!(read.encode_to_vec(), frame, "and is written the same way");
    }
    let (first, _) = frames(&[input], limits::PEER_HANDSHAKE_BYTES);
    let Some(first) = first.first() else {
        return false;
    };
    let introduced = Handshake::decode(first.clone()).ok();
    let answered = Answer::decode(first.clone())
        .ok()
        .and_then(|answer| answer.body);
    let welcomed = match answered {
        Some(AnswerBody::Welcome(welcome)) => Some(welcome),
        Some(AnswerBody::Refused(_)) | None => None,
    };
    let me = me(1);
    let mut acceptable = introduced.into_iter().chain(welcomed);
    acceptable.any(|handshake| identity::read(&me, &handshake).is_ok())
}

/// What both sides send.
pub fn peer_streams() -> Vec<Vec<u8>> {
    let handshake = me(2).handshake(Purpose::Session);
    let mut dialled = BytesMut::new();
    put(&mut dialled, &handshake);
    let mut answered = BytesMut::new();
    let body = Some(AnswerBody::Welcome(me(3).handshake(Purpose::Raft)));
    put(&mut answered, &Answer { body });
    for payload in [&b"first"[..], b"", &[7; 300]] {
        let payload = Bytes::from_static(payload);
        put(&mut dialled, &Frame { payload });
    }
    let mut refused = BytesMut::new();
    let body = Some(AnswerBody::Refused("no".to_owned()));
    put(&mut refused, &Answer { body });
    [dialled, answered, refused]
        .map(|bytes| bytes.to_vec())
        .to_vec()
}
