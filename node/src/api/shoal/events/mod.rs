//! `GET /shoal/v1/events`: what the ledger did, as server-sent events, from any master.
//!
//! A client says where it wants to begin and is sent everything from there on; one that falls behind
//! what is kept is told so and has to begin anew. Nobody waits for a client: it is read out of the
//! ring at its own pace, and closed if it does not read.

mod filter;
mod form;
mod ring;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::json;
use shoal_api::Index;
use shoal_master::Position;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::names::{agent_named, framework_named};
use super::{Call, Outcome};
use crate::api::board::Board;
use crate::api::reply::{self, Reply, ReplyBody};
use crate::limits;
pub use filter::Filter;
pub use form::object;
use ring::start_of;
pub use ring::{Gone, Ring};

/// What a client of server-sent events sends when it comes again: it has seen this.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where to begin, as a client says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Oldest,
    Now,
    At(Position),
}

fn number(text: &str) -> Option<Position> {
    let (index, number) = text.split_once('.').unwrap_or((text, "0"));
    Some(Position {
        index: Index(index.parse().ok()?),
        number: number.parse().ok()?,
    })
}

/// The position after what was seen: `INDEX.NUMBER` is one event, `INDEX` the whole entry.
fn after(seen: &str) -> Option<Position> {
    let at = number(seen)?;
    Some(match seen.contains('.') {
        true => Position {
            number: at.number.checked_add(1)?,
            ..at
        },
        false => start_of(Index(at.index.0.checked_add(1)?)),
    })
}

impl Call<'_> {
    pub(super) async fn events(&self) -> Outcome {
        let from = self.where_from()?;
        let filter = self.event_filter().await?;
        let follow = match self.parameter("follow").as_deref() {
            None | Some("true" | "") => true,
            Some("false") => false,
            Some(other) => {
                let error = format!("follow is '{other}'");
                return Err(bad(
                    error,
                    "true goes on for ever, false ends with what is there",
                ));
            }
        };
        let ring = self.api.board.events();
        let news = ring.listen();
        // What is asked for may be on its way here; what no ledger has is refused.
        let ahead = matches!(from, From::At(at) if at.index > ring.end().index);
        let until = if ahead || !follow {
            let index = self.view().await?.index;
            if let From::At(at) = from
                && at.index.0 > index.0 + 1
            {
                return Err(beyond(at, index));
            }
            (!follow).then(|| start_of(Index(index.0 + 1)))
        } else {
            None
        };
        let from = match from {
            From::Oldest => ring.oldest(),
            From::Now => ring.end(),
            From::At(at) => at,
        };
        ring.read(from, 0).map_err(|gone| gone_reply(from, gone))?;
        let seat = Arc::clone(&self.api.event_clients).try_acquire_owned();
        let seat = seat.map_err(|_| full())?;
        let (pieces, body) = mpsc::channel(limits::EVENTS_PIECES);
        let pump = Pump {
            board: Arc::clone(&self.api.board),
            news,
            filter,
            at: from,
            until,
            pieces,
            sent: Instant::now(),
            _seat: seat,
        };
        tokio::spawn(pump.run());
        Ok(stream(body))
    }

    fn where_from(&self) -> Result<From, Box<Reply>> {
        let seen = self.headers.get(&LAST_EVENT_ID);
        if let Some(seen) = seen.filter(|seen| !seen.is_empty()) {
            let text = seen.to_str().unwrap_or("?");
            return after(text).map(From::At).ok_or_else(|| {
                let error = format!("Last-Event-ID '{text}' is no position");
                bad(error, "send the id of the last event that was received")
            });
        }
        match self.parameter("from").as_deref() {
            None | Some("now") => Ok(From::Now),
            Some("oldest") => Ok(From::Oldest),
            Some(text) => number(text).map(From::At).ok_or_else(|| {
                let error = format!("from '{text}' is no position");
                bad(error, "INDEX, INDEX.NUMBER, oldest or now")
            }),
        }
    }

    async fn event_filter(&self) -> Result<Filter, Box<Reply>> {
        let kinds = self.parameter("type").unwrap_or_default();
        let mut filter = Filter {
            kinds: Filter::kinds(&kinds).map_err(|word| {
                let kinds = shoal_master::What::NAMES.join(", ");
                bad(format!("'{word}' is no type of event"), &kinds)
            })?,
            task: self.parameter("task"),
            agent: None,
            framework: None,
        };
        if let Some(task) = &filter.task
            && let Some((framework, task)) = task.clone().split_once('/')
        {
            filter.framework = Some(framework_named(&self.stale().await?.state, framework)?);
            filter.task = Some(task.to_owned());
        }
        if let Some(name) = self.parameter("agent") {
            filter.agent = Some(agent_named(&self.stale().await?.state, &name)?);
        }
        if let Some(name) = self.parameter("framework") {
            filter.framework = Some(framework_named(&self.stale().await?.state, &name)?);
        }
        Ok(filter)
    }
}

fn bad(error: String, hint: &str) -> Box<Reply> {
    // What the client sent is in there, however long.
    let error: String = error.chars().take(200).collect();
    Box::new(reply::problem(StatusCode::BAD_REQUEST, error, "", hint))
}

fn beyond(at: Position, index: Index) -> Box<Reply> {
    Box::new(reply::problem(
        StatusCode::BAD_REQUEST,
        format!(
            "position {at} is beyond the ledger, which ends at index {}",
            index.0
        ),
        "the position is of another cluster, or of this one before it was restored",
        "begin anew: read the lists, then follow with from=now, or take from=oldest",
    ))
}

fn gone_reply(asked: Position, gone: Gone) -> Box<Reply> {
    let document = json!({
        "error": format!("events before {} are not kept, {asked} was asked for", gone.oldest),
        "detail": "a master keeps the newest events in memory, and none from before its last snapshot",
        "hint": format!("read the lists again, then go on with from={}", gone.oldest),
        "oldest": gone.oldest.to_string(),
    });
    Box::new(reply::json(StatusCode::GONE, &document))
}

fn full() -> Box<Reply> {
    Box::new(reply::problem(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "{} clients follow the events of this master",
            limits::EVENT_CLIENTS
        ),
        "",
        "follow them at another master: every one has all events",
    ))
}

fn stream(body: mpsc::Receiver<Bytes>) -> Reply {
    let mut reply = Reply::new(ReplyBody::Stream(body));
    let headers = reply.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// Writes one client's events until either side is gone.
struct Pump {
    board: Arc<Board>,
    news: watch::Receiver<Index>,
    filter: Filter,
    /// What was looked at ends before this.
    at: Position,
    /// Where to end, if not never.
    until: Option<Position>,
    pieces: mpsc::Sender<Bytes>,
    /// When something was sent last.
    sent: Instant,
    _seat: OwnedSemaphorePermit,
}

/// Why there is nothing more to write.
struct Over;

impl Pump {
    async fn run(mut self) {
        // How it ended matters to nobody: the client sees the end.
        let _ = self.write().await;
    }

    async fn write(&mut self) -> Result<(), Over> {
        self.send(form::opening(self.at).into()).await?;
        loop {
            let ring = self.board.events();
            let entries = match ring.read(self.at, limits::EVENTS_AT_ONCE) {
                Ok(entries) => entries,
                Err(gone) => {
                    let piece = form::gap(self.at, gone.oldest);
                    return self.send(piece.into()).await;
                }
            };
            let mut piece = Vec::new();
            let idle = entries.is_empty();
            for entry in entries {
                if self.until.is_some_and(|end| entry.index >= end.index) {
                    return self.send(piece.into()).await;
                }
                for (number, event) in entry.events.iter().enumerate() {
                    let at = Position {
                        index: entry.index,
                        number: u32::try_from(number).unwrap_or(u32::MAX),
                    };
                    if at >= self.at && self.filter.wants(&event.what) {
                        form::sent(at, event, &mut piece);
                    }
                }
                self.at = start_of(Index(entry.index.0 + 1));
                if piece.len() >= limits::EVENTS_PIECE_BYTES {
                    self.send(std::mem::take(&mut piece).into()).await?;
                }
            }
            if !piece.is_empty() {
                self.send(piece.into()).await?;
            }
            if self.until.is_some_and(|end| idle || self.at >= end) {
                return Ok(());
            }
            // Also where the filter lets nothing through for long: the position moves on.
            if self.sent.elapsed() >= limits::EVENTS_HEARTBEAT {
                self.send(form::heartbeat(self.at).into()).await?;
            }
            if idle {
                self.wait().await?;
            }
        }
    }

    /// Waits for news, or until the client is due a sign of life.
    async fn wait(&mut self) -> Result<(), Over> {
        let left = limits::EVENTS_HEARTBEAT.saturating_sub(self.sent.elapsed());
        tokio::select! {
            news = timeout(left, self.news.changed()) => match news {
                Ok(Err(_)) => Err(Over),
                Ok(Ok(())) | Err(_) => Ok(()),
            },
            () = self.pieces.closed() => Err(Over),
        }
    }

    /// Sends a piece to a client that reads.
    async fn send(&mut self, piece: Bytes) -> Result<(), Over> {
        self.sent = Instant::now();
        match timeout(limits::EVENTS_UNREAD, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Over),
            Err(_) => {
                tracing::debug!("a client of the events does not read, its stream is closed");
                Err(Over)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::RunId;
    use shoal_api::agent::HostPort;
    use shoal_master::{EntryEvents, Event, What};

    use super::*;

    fn at(index: u64, number: u32) -> Position {
        Position {
            index: Index(index),
            number,
        }
    }

    fn entry(index: u64) -> EntryEvents {
        let what = What::RunKillOrdered { run: RunId(index) };
        EntryEvents {
            index: Index(index),
            events: vec![Event { wall: None, what }],
        }
    }

    #[tokio::test]
    async fn a_client_that_falls_behind_is_told_where_to_begin() {
        let board = Arc::new(Board::new(HostPort::new("127.0.0.1", 5050)));
        board.events().put(entry(4));
        let (pieces, mut body) = mpsc::channel(limits::EVENTS_PIECES);
        let seats = Arc::new(tokio::sync::Semaphore::new(1));
        let pump = Pump {
            board: Arc::clone(&board),
            news: board.events().listen(),
            filter: Filter::default(),
            at: at(4, 0),
            until: None,
            pieces,
            sent: Instant::now(),
            _seat: Arc::clone(&seats).try_acquire_owned().unwrap(),
        };
        let pump = tokio::spawn(pump.run());
        let mut next = async || {
            let piece = body.recv().await?;
            Some(String::from_utf8(piece.to_vec()).unwrap())
        };
        assert!(next().await.unwrap().ends_with("id: 3\n\n"));
        assert!(
            next()
                .await
                .unwrap()
                .starts_with("id: 4.0\nevent: run_kill_ordered\n")
        );
        board.events().put(entry(5));
        assert!(next().await.unwrap().contains("\"run\":5"));
        board.events().skip(Index(9));
        let gap = next().await.unwrap();
        assert!(gap.starts_with("event: gap\n"), "{gap}");
        assert!(gap.contains("\"oldest\":\"10.0\""), "{gap}");
        assert_eq!(next().await, None);
        pump.await.unwrap();
        assert_eq!(seats.available_permits(), 1);
    }

    #[test]
    fn positions_are_read_in_both_forms() {
        assert_eq!(number("7"), Some(at(7, 0)));
        assert_eq!(number("7.3"), Some(at(7, 3)));
        assert_eq!(after("7"), Some(at(8, 0)));
        assert_eq!(after("7.3"), Some(at(7, 4)));
        for bad in ["", "x", "7.", ".3", "-1", "7.3.1", "18446744073709551616"] {
            assert_eq!(number(bad), None, "{bad}");
        }
        assert_eq!(after("18446744073709551615"), None);
    }
}
