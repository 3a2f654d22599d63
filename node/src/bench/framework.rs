//! A framework as a user's would be: the Mesos v1 scheduler API in JSON, over HTTP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shoal_api::agent::HostPort;
use shoal_mesos::record_io::Decoder;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::guest::failed;
use crate::cli::Failure;

/// How long an event or an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Sender = SendRequest<Full<Bytes>>;

/// A subscribed framework.
#[derive(Debug)]
pub struct Framework {
    caller: Caller,
    body: Incoming,
    decoder: Decoder,
    waiting: VecDeque<Value>,
    _connection: Sender,
}

/// Makes calls for a framework, each on one of its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    id: Arc<str>,
    stream: Arc<str>,
    host: Arc<str>,
    connections: Arc<Vec<Mutex<Sender>>>,
}

impl Framework {
    /// Subscribes at a master, and opens some more connections for calls.
    ///
    /// # Errors
    /// The master refuses, or does not answer.
    pub async fn subscribe(master: &HostPort, calls: usize) -> Result<Framework, Failure> {
        let info = json!({
            "user": "root", "name": "bench", "failover_timeout": 0.0, "roles": ["*"],
            "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
        });
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        let mut connection = connect(master).await?;
        let host = master.to_string();
        let response = post(&mut connection, &host, None, &call).await?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(failed(format!("a subscription is answered with {status}")));
        }
        let stream = response
            .headers()
            .get("Mesos-Stream-Id")
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| failed("a subscription has no stream id"))?;
        let stream = Arc::from(stream);
        let mut connections = Vec::new();
        for _ in 0..calls {
            connections.push(Mutex::new(connect(master).await?));
        }
        let mut framework = Framework {
            caller: Caller {
                id: Arc::from(""),
                stream,
                host: Arc::from(host),
                connections: Arc::new(connections),
            },
            body: response.into_body(),
            decoder: Decoder::new(),
            waiting: VecDeque::new(),
            _connection: connection,
        };
        let subscribed = framework.next().await?;
        let id = subscribed["subscribed"]["framework_id"]["value"].as_str();
        framework.caller.id = Arc::from(id.ok_or_else(|| failed("no framework id is told"))?);
        Ok(framework)
    }

    /// Its calls.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The next event; heartbeats are passed over.
    ///
    /// # Errors
    /// The stream ends, or is silent for too long.
    pub async fn next(&mut self) -> Result<Value, Failure> {
        let next = async {
            loop {
                if let Some(event) = self.waiting.pop_front() {
                    return Ok(event);
                }
                let frame = self.body.frame().await;
                let frame = frame
                    .ok_or_else(|| failed("the stream ended"))?
                    .map_err(failed)?;
                if let Some(data) = frame.data_ref() {
                    self.decoder.push(data);
                }
                while let Some(record) = self.decoder.next_record().map_err(failed)? {
                    let event: Value = serde_json::from_slice(&record).map_err(failed)?;
                    if event["type"] != "HEARTBEAT" {
                        self.waiting.push_back(event);
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .map_err(|_| failed("the master says nothing for 30 s"))?
    }

    /// The next event if one comes in time.
    ///
    /// # Errors
    /// The stream ends.
    pub async fn next_within(&mut self, time: Duration) -> Result<Option<Value>, Failure> {
        match tokio::time::timeout(time, self.next()).await {
            Ok(event) => event.map(Some),
            Err(_) => Ok(None),
        }
    }
}

impl Caller {
    /// Makes a call on the connection of that number, modulo their count.
    ///
    /// # Errors
    /// It is not answered with 202.
    pub async fn call(&self, connection: usize, mut call: Value) -> Result<(), Failure> {
        call["framework_id"] = json!({"value": &*self.id});
        let at = connection % self.connections.len();
        let mut connection = self.connections[at].lock().await;
        let calling = post(&mut connection, &self.host, Some(&self.stream), &call);
        let response = tokio::time::timeout(PATIENCE, calling)
            .await
            .map_err(|_| failed("a call is not answered for 30 s"))??;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(failed)?;
        if status != StatusCode::ACCEPTED {
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            return Err(failed(format!("a call is answered with {status}: {text}")));
        }
        Ok(())
    }

    /// Gives offers back, not to be made again for a while.
    ///
    /// # Errors
    /// It is not answered with 202.
    pub async fn decline(&self, offers: &[Value], refuse: f64) -> Result<(), Failure> {
        let ids: Vec<&Value> = offers.iter().map(|offer| &offer["id"]).collect();
        let decline = json!({"offer_ids": ids, "filters": {"refuse_seconds": refuse}});
        self.call(0, json!({"type": "DECLINE", "decline": decline}))
            .await
    }

    /// Acknowledges an update, if that is wanted.
    ///
    /// # Errors
    /// It is not answered with 202.
    pub async fn acknowledge(&self, connection: usize, update: &Value) -> Result<(), Failure> {
        let status = &update["update"]["status"];
        if status["uuid"].is_null() {
            return Ok(());
        }
        let acknowledge = json!({
            "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
        });
        let call = json!({"type": "ACKNOWLEDGE", "acknowledge": acknowledge});
        self.call(connection, call).await
    }
}

/// How many tasks of [`accept`] fit into offers.
pub fn room_in(offers: &[Value]) -> u32 {
    let cpus = |offer: &Value| {
        let resources = offer["resources"].as_array();
        let mut all = resources.into_iter().flatten();
        let cpus = all.find(|resource| resource["name"] == "cpus");
        cpus.and_then(|cpus| cpus["scalar"]["value"].as_f64())
            .unwrap_or(0.0)
    };
    let thousandths: f64 = offers.iter().map(|offer| (cpus(offer) * 1e3).round()).sum();
    (thousandths / 10.0) as u32
}

/// The accept of offers of one agent that launches tasks which end at once.
pub fn accept(offers: &[Value], tasks: impl Iterator<Item = u32>) -> Value {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let agent = &offers.first().expect("an accept has an offer")["agent_id"];
    let ids: Vec<&Value> = offers.iter().map(|offer| &offer["id"]).collect();
    let task = |number: u32| {
        json!({
            "name": "bench",
            "task_id": {"value": format!("t{number}")},
            "agent_id": agent,
            "resources": [scalar("cpus", 0.01), scalar("mem", 1.0)],
            "command": {"shell": false, "value": "/bin/true", "arguments": ["true"]},
        })
    };
    let infos: Vec<Value> = tasks.map(task).collect();
    json!({"type": "ACCEPT", "accept": {
        "offer_ids": ids,
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": infos}}],
        "filters": {"refuse_seconds": 0.0},
    }})
}

/// The offers of an event.
pub fn offers(event: &Value) -> Vec<Value> {
    let offers = event["offers"]["offers"].as_array();
    offers.into_iter().flatten().cloned().collect()
}

async fn connect(master: &HostPort) -> Result<Sender, Failure> {
    let stream = TcpStream::connect((&*master.host, master.port))
        .await
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // What ends it is told to whoever sends on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn post(
    connection: &mut Sender,
    host: &str,
    stream: Option<&str>,
    call: &Value,
) -> Result<Response<Incoming>, Failure> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/scheduler")
        .header("Host", host)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json");
    if let Some(stream) = stream {
        request = request.header("Mesos-Stream-Id", stream);
    }
    let body = Full::new(Bytes::from(call.to_string()));
    let request = request.body(body).map_err(failed)?;
    connection.ready().await.map_err(failed)?;
    connection.send_request(request).await.map_err(failed)
}
