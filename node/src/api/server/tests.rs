//! Time and places, over connections in memory and a clock that moves by itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::DuplexStream;
use tokio::time::Instant;

use super::*;

const HEAD: Duration = limits::HTTP_HEAD;
const IDLE: Duration = limits::HTTP_IDLE;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// A client of a served connection.
struct Client {
    stream: DuplexStream,
    /// Ends with the server's side.
    served: tokio::task::JoinHandle<()>,
}

impl Client {
    /// Dials in; every request is answered by `answer`.
    fn dial<F>(seats: &Arc<Seats>, answer: fn(Request<Incoming>) -> F) -> Client
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let Entry::Seated(seat, _) = seats.enter() else {
            panic!("every place is taken by somebody busy");
        };
        let (stream, server) = tokio::io::duplex(4096);
        let served = tokio::spawn(async move { converse(server, &seat, answer).await });
        Client { stream, served }
    }

    fn idle() -> Client {
        Client::dial(&Seats::new(1), well)
    }

    /// One whole request and its answer.
    async fn ask(&mut self) {
        self.stream.write_all(REQUEST).await.expect("it is open");
        let mut answer = vec![0; 4096];
        let length = self.stream.read(&mut answer).await.expect("it is open");
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{length}");
    }

    /// Whatever the server still says before it closes.
    async fn last_words(mut self) -> String {
        let mut said = Vec::new();
        self.stream.read_to_end(&mut said).await.expect("it closes");
        self.served.await.expect("the server does not panic");
        String::from_utf8(said).expect("it is text")
    }
}

async fn well(_request: Request<Incoming>) -> Reply {
    reply::text(StatusCode::OK, "well")
}

/// Lets time pass, once everybody has done what there is to do.
async fn pass(time: Duration) {
    tokio::time::sleep_until(Instant::now() + time).await;
}

/// Whether the time since is this, give or take what a timer rounds.
fn about(since: Instant, expected: Duration) {
    let passed = since.elapsed();
    let slack = Duration::from_millis(5);
    assert!(
        passed + slack >= expected && passed <= expected + slack,
        "{passed:?} for {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_closed() {
    let start = Instant::now();
    assert_eq!(Client::idle().last_words().await, "");
    about(start, HEAD);
}

#[tokio::test(start_paused = true)]
async fn a_first_head_has_its_time_from_the_connect_on() {
    let mut client = Client::idle();
    let start = Instant::now();
    while start.elapsed() + Duration::from_secs(10) < HEAD {
        client.stream.write_all(b"x").await.expect("it is open");
        pass(Duration::from_secs(10)).await;
    }
    assert!(client.last_words().await.starts_with("HTTP/1.1 408 "));
    about(start, HEAD);
}

#[tokio::test(start_paused = true)]
async fn between_requests_a_connection_may_idle() {
    let mut client = Client::idle();
    for _ in 0..3 {
        client.ask().await;
        pass(IDLE - Duration::from_secs(1)).await;
    }
    client.ask().await;
    let start = Instant::now();
    assert_eq!(client.last_words().await, "");
    about(start, IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_time_from_its_first_byte_on() {
    let mut client = Client::idle();
    client.ask().await;
    pass(IDLE / 2).await;
    let start = Instant::now();
    for byte in &REQUEST[..6] {
        client.stream.write_all(&[*byte]).await.expect("it is open");
        pass(Duration::from_secs(10)).await;
    }
    assert!(client.last_words().await.starts_with("HTTP/1.1 408 "));
    about(start, HEAD);
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_the_time_it_needs() {
    let long = |_request| async {
        pass(2 * IDLE).await;
        reply::text(StatusCode::OK, "at last")
    };
    let mut client = Client::dial(&Seats::new(1), long);
    let start = Instant::now();
    client.ask().await;
    about(start, 2 * IDLE);
    client.ask().await;
    about(start, 4 * IDLE);
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_longest_makes_room() {
    let seats = Seats::new(3);
    let second = Duration::from_secs(1);
    let mut oldest = Client::dial(&seats, well);
    pass(second).await;
    let middle = Client::dial(&seats, well);
    pass(second).await;
    let mut youngest = Client::dial(&seats, well);
    pass(second).await;
    // The oldest connection has just been used: it is not the one that waits longest.
    oldest.ask().await;
    let mut new = Client::dial(&seats, well);
    assert_eq!(middle.last_words().await, "");
    for client in [&mut oldest, &mut youngest, &mut new] {
        client.ask().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_being_answered_keeps_its_place() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let never = |_request| async {
        ASKED.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    };
    let seats = Seats::new(2);
    let mut busy: Vec<Client> = (0..2).map(|_| Client::dial(&seats, never)).collect();
    for client in &mut busy {
        client.stream.write_all(REQUEST).await.expect("it is open");
    }
    while ASKED.load(Ordering::SeqCst) < busy.len() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(seats.enter(), Entry::Full));
    drop(busy.pop());
    let freed = loop {
        match seats.enter() {
            Entry::Seated(seat, evicted) => break (seat, evicted),
            Entry::Full => tokio::task::yield_now().await,
        }
    };
    assert_eq!(freed.1, 0);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_gets_all_of_an_answer() {
    const LENGTH: usize = 60_000;
    let long = |_request| async { reply::text(StatusCode::OK, "x".repeat(LENGTH)) };
    let seats = Seats::new(1);
    let mut slow = Client::dial(&seats, long);
    slow.stream.write_all(REQUEST).await.expect("it is open");
    pass(Duration::from_secs(1)).await;
    assert!(matches!(seats.enter(), Entry::Full));
    let mut answer = Vec::new();
    while answer.len() < LENGTH {
        let length = slow.stream.read_buf(&mut answer).await;
        assert!(length.expect("it is open") > 0, "cut at {}", answer.len());
    }
    pass(Duration::from_secs(1)).await;
    assert!(matches!(seats.enter(), Entry::Seated(_, 1)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_body_makes_room() {
    let reads = |request: Request<Incoming>| async {
        let (parts, body) = request.into_parts();
        match crate::api::body::read(&parts.headers, body).await {
            Ok(_) => reply::text(StatusCode::OK, "all"),
            Err(error) => reply::text(error.status(), error.to_string()),
        }
    };
    let seats = Seats::new(1);
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab";
    let mut slow = Client::dial(&seats, reads);
    slow.stream.write_all(head).await.expect("it is open");
    let start = Instant::now();
    assert!(slow.last_words().await.starts_with("HTTP/1.1 408 "));
    about(start, limits::HTTP_BODY);

    let mut slow = Client::dial(&seats, reads);
    slow.stream.write_all(head).await.expect("it is open");
    let second = Duration::from_secs(1);
    pass(second).await;
    let mut new = Client::dial(&seats, reads);
    assert_eq!(slow.last_words().await, "");
    new.ask().await;
}
