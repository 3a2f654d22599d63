//! Running a script: bounded in time and in what is kept of its output.

use std::process::Stdio;

use shoal_membership::AnswerBody;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::job::Job;
use crate::limits;
use crate::metrics::{catalogue, counter};

/// Runs a script to its end, and gives what it wrote to standard output as an answer, if it wrote
/// anything. One that takes too long is killed, with all that it started in its process group.
pub async fn run(script: &str, job: &Job) -> Option<AnswerBody> {
    let count = |outcome| counter(&catalogue::HANDLER_RUNS, &[outcome]).increment(1);
    let spawned = Command::new("/bin/sh")
        .args(["-c", script])
        .envs(job.variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(script, %error, "cannot run an event handler");
            count("failed");
            return None;
        }
    };
    let group = child.id();
    let Ok(output) = timeout(limits::HANDLER_RUN, attend(&mut child, &job.input)).await else {
        tracing::warn!(script, "an event handler took too long and is killed");
        count("timed_out");
        end_group(group);
        return None;
    };
    match output.code {
        Some(0) => count("succeeded"),
        code => {
            let said = String::from_utf8_lossy(&output.errors);
            let said: String = said.trim().chars().take(200).collect();
            tracing::warn!(script, ?code, said, "an event handler failed");
            count("failed");
        }
    }
    answer(script, output.out)
}

fn end_group(group: Option<u32>) {
    let pid = group.and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        // It may have ended by itself meanwhile.
        let _ended = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

struct Output {
    code: Option<i32>,
    out: Vec<u8>,
    errors: Vec<u8>,
}

async fn attend(child: &mut Child, input: &[u8]) -> Output {
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A script need not read what it is given.
            let _unread = stdin.write_all(input).await;
        }
    };
    let ((), out, errors, status) = tokio::join!(write, head(stdout), head(stderr), child.wait());
    Output {
        code: status.ok().and_then(|status| status.code()),
        out,
        errors,
    }
}

/// The beginning of what is written; the rest is read and dropped, so that nobody waits.
async fn head(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else {
        return kept;
    };
    let mut piece = [0_u8; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        let room = limits::HANDLER_OUTPUT_BYTES - kept.len();
        kept.extend_from_slice(&piece[..count.min(room)]);
    }
    kept
}

fn answer(script: &str, mut out: Vec<u8>) -> Option<AnswerBody> {
    if out.is_empty() {
        return None;
    }
    let most = shoal_membership::limits::ANSWER_BYTES;
    if out.len() > most {
        tracing::warn!(
            script,
            bytes = out.len(),
            most,
            "the answer of an event handler is cut"
        );
        out.truncate(most);
    }
    AnswerBody::new(out.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(input: &[u8]) -> Job {
        Job {
            variables: vec![("SERF_EVENT".to_owned(), "query".to_owned())],
            input: input.to_vec(),
            answers: None,
        }
    }

    async fn said(script: &str, input: &[u8]) -> Option<String> {
        let body = run(script, &job(input)).await?;
        Some(String::from_utf8_lossy(&body.into_bytes()).into_owned())
    }

    #[tokio::test]
    async fn a_script_reads_answers_and_is_bounded() {
        let echo = said("read line; echo \"$SERF_EVENT $line\"", b"hello\n").await;
        assert_eq!(echo.as_deref(), Some("query hello\n"));
        assert_eq!(
            said("exit 3", &vec![b'x'; 1 << 20]).await,
            None,
            "unread input"
        );
        let much = said("yes | head -c 3000000", b"").await.expect("an answer");
        assert_eq!(much.len(), shoal_membership::limits::ANSWER_BYTES);
        assert_eq!(said("/no/such/program", b"").await, None);
    }
}
