//! The whole ledger as one file, streamed: what `shoal backup` stores.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use shoal_disk::{BackupBytes, BackupHeader};
use shoal_master::{Request, View};
use tokio::sync::{Semaphore, mpsc};

use super::{Call, Outcome};
use crate::api::reply::{self, ReplyBody};
use crate::{clock, limits};

/// The right to take a backup; each holds an image of the ledger as long as its client reads.
static PLACES: Semaphore = Semaphore::const_new(limits::BACKUPS);

impl Call<'_> {
    pub(super) async fn backup(&self) -> Outcome {
        let Ok(place) = PLACES.try_acquire() else {
            return Err(Box::new(reply::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{} backups are being taken of this master", limits::BACKUPS),
                "",
                "wait for them, or ask another master",
            )));
        };
        let view = self.ask_for_view(Request::Read).await?;
        let Some(header) = header(&view) else {
            return Err(Box::new(reply::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "the ledger is empty",
                "",
                "ask again in a moment",
            )));
        };
        let (pieces, body) = mpsc::channel(limits::HTTP_STREAM_PIECES);
        let index = view.index.0;
        tokio::task::spawn_blocking(move || {
            let _place = place;
            send(&header, &view, &pieces);
        });
        let mut reply = Response::new(ReplyBody::Stream(body));
        let headers = reply.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert("shoal-index", HeaderValue::from(index));
        Ok(reply)
    }
}

fn header(view: &View) -> Option<BackupHeader> {
    let identity = view.state.charter.identity()?;
    let masters = view.state.charter.masters();
    Some(BackupHeader {
        cluster: identity.cluster,
        incarnation: identity.incarnation,
        index: view.index,
        term: view.term,
        taken: clock::calendar(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        membership: view.membership.clone(),
        masters: masters
            .map(|info| (info.name.to_string(), info.http.to_string()))
            .collect(),
    })
}

/// Sends as fast as the client reads; one that is gone is noticed by the next piece.
fn send(header: &BackupHeader, view: &View, pieces: &mpsc::Sender<Bytes>) {
    let encoder = Arc::new(std::sync::Mutex::new(BackupBytes::default()));
    let locked = || encoder.lock().expect("nobody panics with it");
    // A failed send means that the client is gone: what is left has no reader.
    drop(pieces.blocking_send(locked().head(header)));
    let (out, shared) = (pieces.clone(), Arc::clone(&encoder));
    view.state.write_into(move |chunk| {
        let before = shared.lock().expect("nobody panics with it").before(&chunk);
        if out.blocking_send(before).is_ok() {
            drop(out.blocking_send(chunk));
        }
    });
    let encoder = std::mem::take(&mut *locked());
    drop(pieces.blocking_send(encoder.end()));
}
