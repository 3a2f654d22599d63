//! The peer port over real sockets.

use bytes::Bytes;
use shoal_api::RaftId;
use shoal_api::agent::HostPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::identity::tests::identity;
use super::*;
use crate::authorize::Policy;
use crate::roles::NodeRoles;
use crate::stop::{self, Stopper};

struct Server {
    at: HostPort,
    accepted: mpsc::Receiver<Connection>,
    _stop: Stopper,
}

async fn server(me: Identity) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = HostPort::new("127.0.0.1", listener.local_addr().unwrap().port());
    let (send, accepted) = mpsc::channel(8);
    let (stopper, stopped) = stop::pair();
    tokio::spawn(serve(listener, me, Policy::Loopback, send, stopped));
    Server {
        at,
        accepted,
        _stop: stopper,
    }
}

fn master() -> NodeRoles {
    NodeRoles::from_bits(1)
}

fn agent() -> NodeRoles {
    NodeRoles::from_bits(2)
}

#[tokio::test]
async fn payloads_go_both_ways() {
    let mut server = server(identity(1, master(), Some(7))).await;
    let dialer = identity(2, agent(), None);
    let mut here = dial(&dialer, &server.at, Purpose::Session).await.unwrap();
    let mut there = server.accepted.recv().await.unwrap();
    assert_eq!((there.purpose, there.peer.node.0), (Purpose::Session, 2));
    assert_eq!(here.peer.cluster.unwrap().0, 7);
    let mut batch = vec![Bytes::from_static(b"a"), Bytes::from(vec![7; 100_000])];
    here.writer.write(&mut batch).await.unwrap();
    assert_eq!(there.reader.next().await.unwrap().unwrap(), "a");
    assert_eq!(there.reader.next().await.unwrap().unwrap().len(), 100_000);
    there
        .writer
        .write(&mut vec![Bytes::from_static(b"b")])
        .await
        .unwrap();
    assert_eq!(here.reader.next().await.unwrap().unwrap(), "b");
    drop(there);
    assert!(here.reader.next().await.unwrap().is_none());
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let server = server(identity(1, master(), Some(7))).await;
    let refused = dial(&identity(2, agent(), None), &server.at, Purpose::Raft).await;
    assert!(
        matches!(refused, Err(DialError::Refused { .. })),
        "{refused:?}"
    );
    let refused = dial(&identity(2, master(), Some(8)), &server.at, Purpose::Raft).await;
    let Err(DialError::Refused { why, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("cluster"), "{why}");
}

#[tokio::test]
async fn garbage_is_dropped_and_the_port_goes_on() {
    let mut server = server(identity(1, master(), Some(7))).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0; 64][..],
        &[0xff; 64][..],
        &[0, 0, 0, 3, 1, 2, 3, 4, 5, 6][..],
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.at.port))
            .await
            .unwrap();
        stream.write_all(garbage).await.unwrap();
        // Closed by the other side, with or without an answer.
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
    }
    let good = dial(&identity(2, master(), Some(7)), &server.at, Purpose::Raft).await;
    assert!(good.is_ok());
    assert_eq!(
        server.accepted.recv().await.unwrap().peer.raft,
        Some(RaftId(2))
    );
}

#[tokio::test]
async fn a_link_survives_its_connection() {
    let mut server = server(identity(1, master(), Some(7))).await;
    let (events, mut told) = mpsc::channel(8);
    let me = identity(2, master(), Some(7));
    let link = Link::start(me, RaftId(1), server.at.clone(), Purpose::Raft, events);
    for round in 0..2_u8 {
        let mut there = server.accepted.recv().await.unwrap();
        link.send(Bytes::copy_from_slice(&[round]));
        assert_eq!(there.reader.next().await.unwrap().unwrap(), &[round][..]);
        drop(there);
        assert_eq!(told.recv().await, Some(LinkEvent::Broken(RaftId(1))));
        link.hurry();
    }
    drop(link);
}

#[tokio::test]
async fn a_link_does_not_talk_to_another_master() {
    let mut server = server(identity(1, master(), Some(7))).await;
    let (events, _told) = mpsc::channel(8);
    let me = identity(2, master(), Some(7));
    let link = Link::start(me, RaftId(9), server.at.clone(), Purpose::Raft, events);
    let mut there = server.accepted.recv().await.unwrap();
    link.send(Bytes::from_static(b"for another"));
    assert!(there.reader.next().await.unwrap().is_none());
}
