//! `/files/browse`, `read`, `download` and `debug`: what tasks have in their sandboxes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use rustix::fs::{FileType, Stat};
use serde_json::{Map, Value, json};
use shoal_mesos::proto::v1;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Api, stopping};
use crate::api::listing;
use crate::api::reply::{self, Reply, ReplyBody};
use crate::api::route::{Files, query};
use crate::executor::Window;
use crate::executor::files::{FileFault, Piece};
use crate::executor::limits::PIECE_BYTES;
use crate::executor::user::Names;
use crate::limits;

/// Answers one of them.
pub async fn answer(api: &Arc<Api>, window: &Window, which: Files, asked: Option<&str>) -> Reply {
    if which == Files::Debug {
        return debug(window, asked).await;
    }
    let Some(path) = query(asked, "path").filter(|path| !path.is_empty()) else {
        return reply::text(
            StatusCode::BAD_REQUEST,
            "Expecting 'path=value' in query.\n",
        );
    };
    match which {
        Files::Browse => browse(window, path, asked).await,
        Files::Read => read(window, path, asked).await,
        Files::Download => download(api, window, path).await,
        Files::Debug => unreachable!("answered above"),
    }
}

/// What cannot be shown.
pub fn failed(fault: &FileFault) -> Reply {
    match fault {
        FileFault::NotFound => reply::empty_text(StatusCode::NOT_FOUND),
        FileFault::NotAFile | FileFault::TooMany => {
            reply::text(StatusCode::BAD_REQUEST, fault.to_string())
        }
        FileFault::Unreadable(_) => {
            reply::text(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string())
        }
    }
}

/// A file as it is listed.
#[derive(Debug)]
pub struct Listed {
    path: String,
    stat: Stat,
    user: String,
    group: String,
}

impl Listed {
    /// In version 1.
    pub fn message(self) -> v1::FileInfo {
        v1::FileInfo {
            path: Some(self.path),
            nlink: i32::try_from(self.stat.st_nlink).ok(),
            size: u64::try_from(self.stat.st_size).ok(),
            mtime: Some(v1::TimeInfo {
                nanoseconds: self.stat.st_mtime.checked_mul(1_000_000_000),
            }),
            mode: Some(self.stat.st_mode),
            uid: Some(self.user),
            gid: Some(self.group),
        }
    }

    /// In version 0.
    fn json(&self) -> Value {
        json!({
            "gid": self.group,
            "mode": mode(self.stat.st_mode),
            "mtime": self.stat.st_mtime as f64,
            "nlink": self.stat.st_nlink,
            "path": self.path,
            "size": self.stat.st_size,
            "uid": self.user,
        })
    }
}

/// As `ls -l` writes it.
fn mode(bits: u32) -> String {
    let kind = match FileType::from_raw_mode(bits) {
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::RegularFile | FileType::Unknown => '-',
    };
    let rights = "rwxrwxrwx".chars().enumerate();
    let rights = rights.map(|(at, right)| {
        if bits >> (8 - at) & 1 == 1 {
            right
        } else {
            '-'
        }
    });
    std::iter::once(kind).chain(rights).collect()
}

/// What a folder has.
///
/// # Errors
/// [`FileFault`].
pub async fn listed(window: &Window, path: String) -> Result<Vec<Listed>, FileFault> {
    let files = window.files.clone();
    on_disk(move || {
        let names = Names::read();
        let entries = files.browse(&path)?.into_iter().map(|entry| Listed {
            path: entry.path,
            user: names.user(entry.stat.st_uid),
            group: names.group(entry.stat.st_gid),
            stat: entry.stat,
        });
        Ok(entries.collect())
    })
    .await
}

/// A piece of a file; without an offset its size only.
///
/// # Errors
/// [`FileFault`].
pub async fn piece(
    window: &Window,
    path: String,
    offset: Option<u64>,
    length: Option<u64>,
) -> Result<Piece, FileFault> {
    let files = window.files.clone();
    on_disk(move || files.read(&path, offset, length)).await
}

async fn on_disk<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, FileFault> + Send + 'static,
) -> Result<T, FileFault> {
    let looked = tokio::task::spawn_blocking(look).await;
    looked.unwrap_or_else(|error| Err(FileFault::Unreadable(io::Error::other(error))))
}

async fn browse(window: &Window, path: String, asked: Option<&str>) -> Reply {
    match listed(window, path).await {
        Ok(found) => {
            let rows: Vec<Value> = found.iter().map(Listed::json).collect();
            listing::document(asked, Value::from(rows).to_string())
        }
        Err(fault) => failed(&fault),
    }
}

async fn read(window: &Window, path: String, asked: Option<&str>) -> Reply {
    let (offset, length) = match (position(asked, "offset"), position(asked, "length")) {
        (Ok(offset), Ok(length)) => (offset, length),
        (Err(why), _) | (_, Err(why)) => return reply::text(StatusCode::BAD_REQUEST, why),
    };
    match piece(window, path, offset, length).await {
        Ok(piece) => {
            let document = json!({
                "data": text(&piece.bytes),
                "offset": offset.unwrap_or(piece.size),
            });
            listing::document(asked, document.to_string())
        }
        Err(fault) => failed(&fault),
    }
}

/// A number of the query that is not negative; none, or -1, is `None`.
fn position(asked: Option<&str>, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = query(asked, name) else {
        return Ok(None);
    };
    match text.parse::<i128>() {
        Ok(-1) => Ok(None),
        Ok(number) if number < 0 => Err(format!("Negative {name} provided: {text}")),
        Ok(number) => Ok(Some(u64::try_from(number).unwrap_or(u64::MAX))),
        Err(_) => {
            let shown: String = text.chars().take(64).collect();
            Err(format!("Failed to parse {name}: '{shown}' is no number"))
        }
    }
}

/// The text of a piece. A character that is cut off at its end is left for the next piece, as readers
/// go on from the length of what they got; other bytes that are no text are replaced.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        Ok(_) | Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Virtual paths and the real ones they stand for.
async fn debug(window: &Window, asked: Option<&str>) -> Reply {
    let Some(view) = window.view().await else {
        return stopping();
    };
    let mut paths = Map::new();
    for task in &view.tasks {
        let (key, real) = (&task.assignment.key, window.directory(task));
        let latest = format!(
            "/frameworks/{}/executors/{}/runs/latest",
            key.framework, key.task
        );
        paths.insert(latest, Value::from(real.clone()));
        paths.insert(real.clone(), Value::from(real));
    }
    listing::document(asked, Value::from(paths).to_string())
}

/// A whole file, as long as it is now.
async fn download(api: &Api, window: &Window, path: String) -> Reply {
    let Ok(held) = Arc::clone(&api.downloads).try_acquire_owned() else {
        let why = "Too many downloads are going on; ask again in a moment";
        return reply::text(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let files = window.files.clone();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let opened = on_disk(move || {
        let file = files.open(&path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    let (file, size) = match opened.await {
        Ok(opened) => opened,
        Err(fault) => return failed(&fault),
    };
    let (pieces, body) = mpsc::channel(limits::HTTP_STREAM_PIECES);
    tokio::spawn(send(file, size, pieces, held));
    let mut reply = Reply::new(ReplyBody::Stream(body));
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CONTENT_DISPOSITION, attachment(&name));
    reply
}

/// The header that names a file; what a header cannot hold is replaced.
fn attachment(name: &str) -> HeaderValue {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let text = match name.chars().all(plain) {
        true => format!("attachment; filename={name}"),
        false => {
            let held = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
            let name: String = name
                .chars()
                .map(|c| if held(c) { c } else { '_' })
                .collect();
            format!("attachment; filename=\"{name}\"")
        }
    };
    HeaderValue::from_str(&text).expect("only characters of headers are left")
}

/// Sends so many bytes; a file that became shorter meanwhile ends the connection.
async fn send(file: File, size: u64, pieces: mpsc::Sender<Bytes>, _held: OwnedSemaphorePermit) {
    let file = Arc::new(file);
    let mut offset = 0;
    while offset < size {
        let wanted = (size - offset).min(PIECE_BYTES as u64);
        let wanted = usize::try_from(wanted).expect("a piece is small");
        let file = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; wanted];
            let length = file.read_at(&mut bytes, offset)?;
            bytes.truncate(length);
            Ok::<_, io::Error>(Bytes::from(bytes))
        });
        match read.await {
            Ok(Ok(piece)) if !piece.is_empty() => {
                offset += piece.len() as u64;
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
            Ok(Ok(_) | Err(_)) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_by_ls() {
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o040_755), "drwxr-xr-x");
        assert_eq!(mode(0o120_777), "lrwxrwxrwx");
        assert_eq!(mode(0o010_600), "prw-------");
    }

    #[test]
    fn a_position_is_a_number_or_none() {
        let of = |text: &str| position(Some(&format!("offset={text}")), "offset");
        assert_eq!(position(Some("x=1"), "offset"), Ok(None));
        assert_eq!(of("-1"), Ok(None));
        assert_eq!(of("0"), Ok(Some(0)));
        assert_eq!(of("99999999999999999999999"), Ok(Some(u64::MAX)));
        assert_eq!(of("-2").unwrap_err(), "Negative offset provided: -2");
        assert!(of("a").unwrap_err().contains("Failed to parse offset"));
    }

    #[test]
    fn a_character_is_not_cut() {
        assert_eq!(text("aé".as_bytes()), "aé");
        assert_eq!(text(&"aé".as_bytes()[..2]), "a");
        assert_eq!(text(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(text(&[0xc3]), "\u{fffd}");
    }

    #[test]
    fn any_name_fits_into_a_header() {
        assert_eq!(attachment("stdout"), "attachment; filename=stdout");
        let odd = attachment("a b\"\r\né.txt");
        assert_eq!(odd, "attachment; filename=\"a b____.txt\"");
    }
}
