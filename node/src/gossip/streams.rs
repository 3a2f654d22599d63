//! The gossip's TCP: streams that the machine wants, and those that others open. A frame is four
//! bytes of length and as many of its body.
//!
//! What lives here bounds them in number, size and time, and decides nothing else; what a frame says
//! is the machine's.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use shoal_membership::StreamId;
use shoal_membership::limits::{FRAME_BYTES, STREAM_FRAMES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use super::limits;

/// What happened on a stream.
#[derive(Debug)]
pub(super) enum Happened {
    Frame {
        stream: StreamId,
        from: SocketAddr,
        bytes: Bytes,
    },
    Closed {
        stream: StreamId,
    },
}

/// All streams of this node.
#[derive(Debug)]
pub(super) struct Streams {
    listener: TcpListener,
    tell: mpsc::Sender<Happened>,
    happened: mpsc::Receiver<Happened>,
    /// What is to be sent on each; without one the stream ends once all before is sent.
    queues: BTreeMap<StreamId, mpsc::Sender<Bytes>>,
    /// Open ones that others opened.
    taken: usize,
    accepted: u64,
}

impl Streams {
    pub fn new(listener: TcpListener) -> Streams {
        let (tell, happened) = mpsc::channel(limits::FRAMES);
        Streams {
            listener,
            tell,
            happened,
            queues: BTreeMap::new(),
            taken: 0,
            accepted: 0,
        }
    }

    /// Waits for something to happen. Streams of others are taken as long as there are few; the rest
    /// waits in the kernel.
    pub async fn next(&mut self) -> Happened {
        loop {
            tokio::select! {
                biased;
                Some(happened) = self.happened.recv() => {
                    if let Happened::Closed { stream } = &happened {
                        self.forget(*stream);
                    }
                    return happened;
                }
                taken = self.listener.accept(), if self.taken < limits::STREAMS_TAKEN => {
                    match taken {
                        Ok((socket, from)) => self.take(socket, from),
                        Err(error) => {
                            // Most likely no descriptors are left; some come back with time.
                            debug!(%error, "cannot take a stream");
                            tokio::time::sleep(limits::STREAM_REST).await;
                        }
                    }
                }
            }
        }
    }

    fn forget(&mut self, stream: StreamId) {
        self.queues.remove(&stream);
        if let StreamId::Accepted(_) = stream {
            self.taken -= 1;
        }
    }

    fn take(&mut self, socket: TcpStream, from: SocketAddr) {
        self.accepted += 1;
        self.taken += 1;
        let stream = StreamId::Accepted(self.accepted);
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let (queue, queued) = mpsc::channel(STREAM_FRAMES);
        self.queues.insert(stream, queue);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            let told = timeout(
                limits::STREAM,
                exchange(socket, stream, from, queued, &tell),
            )
            .await;
            end(stream, told, &tell).await;
        });
    }

    /// Opens a stream.
    pub fn open(&mut self, stream: StreamId, to: SocketAddr) {
        let (queue, queued) = mpsc::channel(STREAM_FRAMES);
        self.queues.insert(stream, queue);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            let whole = async {
                let socket = timeout(limits::STREAM_OPEN, TcpStream::connect(to)).await??;
                exchange(socket, stream, to, queued, &tell).await
            };
            let told = timeout(limits::STREAM, whole).await;
            end(stream, told, &tell).await;
        });
    }

    /// Sends a frame. One that finds its queue full ends its stream.
    pub fn send(&mut self, stream: StreamId, bytes: Bytes) {
        if let Some(queue) = self.queues.get(&stream)
            && queue.try_send(bytes).is_err()
        {
            self.queues.remove(&stream);
        }
    }

    /// Ends a stream once all is sent.
    pub fn close(&mut self, stream: StreamId) {
        self.queues.remove(&stream);
    }
}

async fn end(
    stream: StreamId,
    told: Result<io::Result<()>, tokio::time::error::Elapsed>,
    tell: &mpsc::Sender<Happened>,
) {
    match told {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(?stream, %error, "a gossip stream broke"),
        Err(_) => debug!(?stream, "a gossip stream took too long"),
    }
    // Nobody listens any more when the gossip is over.
    let _over = tell.send(Happened::Closed { stream }).await;
}

/// Carries frames both ways until either side has no more to say.
async fn exchange(
    socket: TcpStream,
    stream: StreamId,
    from: SocketAddr,
    queued: mpsc::Receiver<Bytes>,
    tell: &mpsc::Sender<Happened>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (reading, writing) = socket.into_split();
    tokio::select! {
        read = read(reading, stream, from, tell) => read,
        written = write(writing, queued) => written,
    }
}

async fn write(mut socket: OwnedWriteHalf, mut queued: mpsc::Receiver<Bytes>) -> io::Result<()> {
    while let Some(bytes) = queued.recv().await {
        let length = u32::try_from(bytes.len()).expect("frames are bounded");
        let mut whole = Vec::with_capacity(4 + bytes.len());
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(&bytes);
        socket.write_all(&whole).await?;
    }
    socket.shutdown().await
}

async fn read(
    mut socket: OwnedReadHalf,
    stream: StreamId,
    from: SocketAddr,
    tell: &mpsc::Sender<Happened>,
) -> io::Result<()> {
    // What either side says takes less than what it may.
    for _ in 0..2 * STREAM_FRAMES {
        let Some(bytes) = timeout(limits::STREAM_FRAME, frame(&mut socket)).await?? else {
            return Ok(());
        };
        let told = Happened::Frame {
            stream,
            from,
            bytes,
        };
        if tell.send(told).await.is_err() {
            return Ok(());
        }
    }
    Err(io::Error::other("too many frames on one stream"))
}

/// The next frame; none at the end of the stream.
async fn frame(socket: &mut OwnedReadHalf) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match socket.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > FRAME_BYTES {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).await?;
    Ok(Some(bytes.into()))
}
