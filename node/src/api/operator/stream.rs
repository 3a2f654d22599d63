//! SUBSCRIBE: the event stream of the operator API.
//!
//! A stream begins with the ledger at one index and goes on with every event after it, read out of the
//! ring that the machine fills, at the client's own pace: nobody waits for a client, and one that falls
//! behind what is kept, or does not read, is closed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use shoal_api::Index;
use shoal_master::{Answer, EntryEvents, Position, View};
use shoal_mesos::codec::Codec;
use shoal_mesos::event::HEARTBEAT_SECONDS;
use shoal_mesos::operator::events;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, timeout};

use super::translate::{Rows, Translator};
use crate::api::Api;
use crate::api::listing::{self, Written, aside};
use crate::api::moment::Moment;
use crate::api::reply::{Reply, ReplyBody};
use crate::drive::mailbox::Mailbox;
use crate::limits;

/// Heartbeats without a leader after which a stream is closed, so that no client believes to be told
/// everything when it is not. Ours.
const LEADERLESS: u32 = 2;

/// Who holds a stream, the oldest first.
#[derive(Debug, Default)]
pub struct Seats(Mutex<VecDeque<Arc<Notify>>>);

impl Seats {
    /// Takes a seat. Beyond [`limits::OPERATOR_STREAMS`] the oldest stream makes room. Source: Mesos.
    fn take(&self) -> Arc<Notify> {
        let seat = Arc::new(Notify::new());
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.push_back(Arc::clone(&seat));
        if seats.len() > limits::OPERATOR_STREAMS
            && let Some(oldest) = seats.pop_front()
        {
            oldest.notify_one();
        }
        seat
    }

    fn leave(&self, seat: &Arc<Notify>) {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.retain(|held| !Arc::ptr_eq(held, seat));
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        let seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seats.len()
    }
}

/// Opens a stream.
pub async fn subscribe(api: &Arc<Api>, master: &Mailbox, codec: Codec) -> Reply {
    // Before the moment is read, so that no event between the two is missed.
    let news = api.board.events().listen();
    let view = match listing::view(master).await {
        Ok(view) => view,
        Err(refusal) => return *refusal,
    };
    let (at, state) = (after(view.index), Arc::clone(&view.state));
    let write = move || events::subscribed(&Moment::new(&view.state), codec);
    let first = match aside(api, write).await {
        Ok(first) => first,
        Err(refusal) => return *refusal,
    };
    let (pieces, body) = mpsc::channel(limits::EVENTS_PIECES);
    let pump = Pump {
        at,
        api: Arc::clone(api),
        master: master.clone(),
        codec,
        news,
        pieces,
        seat: api.operator_streams.take(),
    };
    tokio::spawn(pump.run(first, Translator::new(&state)));
    let mut reply = Reply::new(ReplyBody::Stream(body));
    let content_type = HeaderValue::from_static(codec.media_type());
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

fn after(index: Index) -> Position {
    Position {
        index: Index(index.0 + 1),
        number: 0,
    }
}

/// Writes one client's stream until either side is gone.
struct Pump {
    api: Arc<Api>,
    master: Mailbox,
    codec: Codec,
    /// Everything before this was told.
    at: Position,
    news: watch::Receiver<Index>,
    pieces: mpsc::Sender<Bytes>,
    seat: Arc<Notify>,
}

/// Why there is nothing more to write.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error("its client is gone")]
    Gone,
    #[error("its client does not read")]
    Unread,
    #[error("its client has fallen behind what is kept")]
    Behind,
    #[error("newer streams took its place")]
    Replaced,
    #[error("this master has no leader")]
    Leaderless,
}

impl Pump {
    async fn run(mut self, first: Written, translator: Translator) {
        let seat = Arc::clone(&self.seat);
        let over = match self.write(first, translator).await {
            Ok(never) => match never {},
            Err(over) => over,
        };
        self.api.operator_streams.leave(&seat);
        tracing::debug!(%over, "an operator's event stream ended");
    }

    async fn write(
        &mut self,
        first: Written,
        mut translator: Translator,
    ) -> Result<Infallible, Over> {
        self.begin(first).await?;
        let every = Duration::from_secs_f64(HEARTBEAT_SECONDS);
        let mut beat = tokio::time::interval(every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let heartbeat = events::record(&events::heartbeat(), self.codec);
        let mut leaderless = 0;
        loop {
            tokio::select! {
                // The first one is at once.
                _ = beat.tick() => {
                    let leadership = self.api.board.leadership();
                    let led = leadership.is_some_and(|l| l.leader.is_some());
                    leaderless = if led { 0 } else { leaderless + 1 };
                    if leaderless >= LEADERLESS {
                        return Err(Over::Leaderless);
                    }
                    self.send(heartbeat.clone()).await?;
                }
                news = self.news.changed() => news.map_err(|_| Over::Gone)?,
                () = self.pieces.closed() => return Err(Over::Gone),
                () = self.seat.notified() => return Err(Over::Replaced),
            }
            while self.catch_up(&mut translator).await? {}
        }
    }

    /// Sends the ledger as it was, and gives up the room that it took.
    async fn begin(&mut self, first: Written) -> Result<(), Over> {
        let Written { pieces, held } = first;
        // A record is one chunk where it fits into one piece.
        let mut pieces = pieces.into_iter();
        let (length, start) = (pieces.next(), pieces.next());
        let start = [length.unwrap_or_default(), start.unwrap_or_default()].concat();
        self.send(start.into()).await?;
        for piece in pieces {
            self.send(piece).await?;
        }
        drop(held);
        Ok(())
    }

    /// Tells the next events; false once there are none.
    async fn catch_up(&mut self, translator: &mut Translator) -> Result<bool, Over> {
        let ring = self.api.board.events();
        let entries = ring.read(self.at, limits::OPERATOR_ENTRIES_AT_ONCE);
        let entries = entries.map_err(|_| Over::Behind)?;
        let Some(last) = entries.last() else {
            return Ok(false);
        };
        self.at = after(last.index);
        let all = || entries.iter().flat_map(|entry| &entry.events);
        let view = match all().any(Translator::needs_rows) {
            true => Some(self.now().await?),
            false => None,
        };
        let piece = translate(self.codec, translator, &entries, view.as_ref());
        if !piece.is_empty() {
            self.send(piece.into()).await?;
        }
        Ok(true)
    }

    /// The ledger as it is here, which has all that the ring has.
    async fn now(&self) -> Result<View, Over> {
        match self.master.ask(shoal_master::Request::ReadStale).await {
            Answer::State(view) => Ok(view),
            Answer::Done | Answer::RunCreated(_) | Answer::File(_) | Answer::Refused(_) => {
                Err(Over::Leaderless)
            }
        }
    }

    /// Sends a piece to a client that reads.
    async fn send(&mut self, piece: Bytes) -> Result<(), Over> {
        match timeout(limits::EVENTS_UNREAD, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Over::Gone),
            Err(_) => Err(Over::Unread),
        }
    }
}

/// The records of some entries, one after another.
fn translate(
    codec: Codec,
    translator: &mut Translator,
    entries: &[Arc<EntryEvents>],
    view: Option<&View>,
) -> Vec<u8> {
    let rows = view.map(|view| Rows::new(&view.state));
    let (mut told, mut out) = (Vec::new(), Vec::new());
    for event in entries.iter().flat_map(|entry| &entry.events) {
        translator.tell(event, rows.as_ref(), &mut told);
        for event in told.drain(..) {
            out.extend_from_slice(&events::record(&event, codec));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_stream_makes_room() {
        let seats = Seats::default();
        let first = seats.take();
        let mut others: Vec<_> = (1..limits::OPERATOR_STREAMS)
            .map(|_| seats.take())
            .collect();
        assert_eq!(seats.len(), limits::OPERATOR_STREAMS);
        others.push(seats.take());
        first.notified().await;
        seats.leave(&first);
        assert_eq!(seats.len(), limits::OPERATOR_STREAMS);
        others.iter().for_each(|seat| seats.leave(seat));
        assert_eq!(seats.len(), 0);
    }
}
