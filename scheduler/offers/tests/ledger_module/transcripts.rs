//! Transcripts: each file of `testscripts/` is commands, and below each, indented, what it led to.
//!
//! `SHOAL_WRITE_TRANSCRIPTS=1 cargo test -p shoal-offers --test ledger_module` writes what comes out
//! in place of what is expected; the difference is then for a reader of the commit to judge.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::world::{self, ORIGIN, World};
use shoal_api::call::{AgentName, Filters, Launch, ReconcileTask};
use shoal_api::notice::{Notice, TaskStatus};
use shoal_api::{
    AgentId, Capability, Epoch, FrameworkId, Generation, NodeId, OfferId, Origin, Resources, Role,
    StreamId, TaskId, TaskKey, TaskState, UpdateId,
};
use shoal_ledger::Module;
use shoal_offers::allocator::NewOffer;
use shoal_offers::{
    Connection, DisconnectCause, Effect, Offers, OffersCommand, Outcome, Presence, Refusal,
    RemovalCause, RescindCause,
};

/// A world in which frameworks have names.
struct Script {
    world: World,
    frameworks: BTreeMap<String, FrameworkId>,
    saved: Option<Offers>,
    streams: u128,
}

/// The words of one line: `word word key=value key=value`.
struct Line<'a> {
    words: Vec<&'a str>,
    options: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Line<'a> {
        let (mut words, mut options) = (Vec::new(), Vec::new());
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(option) => options.push(option),
                None => words.push(word),
            }
        }
        Line { words, options }
    }

    fn word(&self, at: usize) -> &'a str {
        self.words
            .get(at)
            .unwrap_or_else(|| panic!("a word is missing after {:?}", self.words))
    }

    fn option(&self, name: &str) -> Option<&'a str> {
        self.options
            .iter()
            .find(|(own, _)| *own == name)
            .map(|(_, value)| *value)
    }

    fn list(&self, name: &str) -> Vec<&'a str> {
        self.option(name).map_or_else(Vec::new, |text| {
            text.split(',').filter(|w| !w.is_empty()).collect()
        })
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.option(name).map(|text| text.parse().expect(name))
    }
}

impl Script {
    fn new() -> Script {
        Script {
            world: World::new(),
            frameworks: BTreeMap::new(),
            saved: None,
            streams: 0,
        }
    }

    fn framework(&self, name: &str) -> FrameworkId {
        let known = self.frameworks.get(name).cloned();
        known.unwrap_or_else(|| FrameworkId::new(name).expect(name))
    }

    fn agent(&self, name: &str) -> AgentId {
        self.world.agents[name].id.expect("it had a session")
    }

    fn stream(&self, framework: &FrameworkId) -> StreamId {
        let row = self.world.offers.framework(framework);
        row.and_then(|row| row.stream())
            .map_or(StreamId(0), |(stream, _)| stream)
    }

    fn offer(&self, text: &str) -> Result<OfferId, Arc<str>> {
        let number = text.strip_prefix('O').and_then(|n| n.parse().ok());
        let origin = Origin(ORIGIN.0 + u128::from(self.world.incarnation));
        number
            .map(|number| OfferId { origin, number })
            .ok_or_else(|| Arc::from(text))
    }

    fn run(&mut self, text: &str) -> String {
        let line = Line::parse(text);
        let (result, effects) = match line.word(0) {
            "state" => return self.state(),
            "wait" => {
                let seconds = line.word(1).parse().expect("seconds");
                self.world.wait(Duration::from_secs(seconds));
                return String::new();
            }
            "save" => {
                self.saved = Some(self.world.offers.clone());
                return String::new();
            }
            "restore" => {
                self.world.offers = self.saved.clone().expect("a saved state");
                self.world.incarnation += 1;
                return String::new();
            }
            "progress" => return self.progress(&line),
            "reconcile" => return self.reconcile(&line),
            "agent" | "send" | "close" | "lease" => self.run_agent(&line),
            "subscribe" | "disconnect" | "remove" => self.run_framework(&line),
            "offer" | "accept" | "decline" | "rescind" | "suppress" | "revive" => {
                self.run_offer(&line)
            }
            "kill" | "ack" => self.run_task(&line),
            other => panic!("no such command: {other}"),
        };
        self.world.offers.check().expect(text);
        self.told(result, &effects)
    }

    fn run_agent(&mut self, line: &Line<'_>) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let name = line.word(1);
        if line.word(0) == "agent" {
            let node = name.bytes().fold(0, |sum, b| sum * 256 + u128::from(b));
            if !self.world.agents.contains_key(name) {
                self.world.add_agent(name, node, line.word(2));
            }
            let agent = self.world.agents.get_mut(name).expect("it is there");
            agent.resources = Resources::parse(line.word(2)).expect("resources");
            if let Some(generation) = line.number("generation") {
                agent.generation = Generation(generation);
            }
            let hellos = agent.hellos;
            if let Some(number) = line.number("hello") {
                agent.hellos = number - 1;
            }
            for lost in line.list("lost") {
                agent.tasks.retain(|key, _| key.task.as_str() != lost);
            }
            let master = NodeId(line.number("master").unwrap_or(1).into());
            let told = self.world.open(name, master);
            let agent = self.world.agents.get_mut(name).expect("it is there");
            agent.hellos = agent.hellos.max(hellos);
            return told;
        }
        let agent = self.agent(name);
        let current = self.world.agents[name].epoch;
        let epoch = line.number("epoch").map_or(current, Epoch);
        match line.word(0) {
            "send" => {
                let own = self.world.agents.get_mut(name).expect("it is there");
                let before = std::mem::replace(&mut own.epoch, epoch);
                let result = self.world.send(name);
                self.world.agents.get_mut(name).expect("it is there").epoch = before;
                result
            }
            "close" => {
                let restarting = line.number("restarting").map(Duration::from_secs);
                let result = self.world.apply(OffersCommand::SessionClosed {
                    agent,
                    epoch,
                    restarting,
                });
                let own = self.world.agents.get_mut(name).expect("it is there");
                own.connected &= result.0.is_err();
                result
            }
            _ => self.world.apply(OffersCommand::LeaseEnded { agent, epoch }),
        }
    }

    fn run_framework(&mut self, line: &Line<'_>) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let name = line.word(1);
        let framework = self.framework(name);
        let own = self.stream(&framework);
        let stream = line
            .number("stream")
            .map_or(own, |stream| StreamId(stream.into()));
        match line.word(0) {
            "subscribe" => self.subscribe(name, line),
            "disconnect" => self.world.apply(OffersCommand::Disconnected {
                framework,
                stream,
                cause: match line.option("cause") {
                    Some("holder") => DisconnectCause::HolderDied,
                    _ => DisconnectCause::StreamClosed,
                },
            }),
            _ => {
                let first = self.world.offers.failover_deadlines().next();
                let cause = match (line.word(2), first) {
                    ("timeout", Some((deadline, _))) => RemovalCause::FailoverTimeout { deadline },
                    ("operator", _) => RemovalCause::Operator,
                    _ => RemovalCause::Teardown { stream },
                };
                self.world
                    .apply(OffersCommand::FrameworkRemoved { framework, cause })
            }
        }
    }

    fn subscribe(
        &mut self,
        name: &str,
        line: &Line<'_>,
    ) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let known = self.frameworks.get(name).cloned();
        let id = line
            .option("id")
            .map(|id| FrameworkId::new(id).expect(id))
            .or(known);
        self.streams += 1;
        let mut roles = line.list("roles");
        if roles.is_empty() {
            roles.push("web");
        }
        let capabilities: Vec<Capability> = line
            .list("can")
            .into_iter()
            .map(|word| match word {
                "partitions" => Capability::PartitionAware,
                "killing" => Capability::TaskKillingState,
                "roles" => Capability::MultiRole,
                other => panic!("no such capability: {other}"),
            })
            .collect();
        let timeout = Duration::from_secs(line.number("timeout").unwrap_or(0));
        let mut subscribe =
            world::subscription(id, name, &roles, &capabilities, timeout, self.streams);
        if let Some(principal) = line.option("principal") {
            subscribe.info.principal = Some(principal.parse().expect("a principal"));
        }
        let result = self.world.apply(OffersCommand::Subscribed {
            subscribe: Box::new(subscribe),
            holder: NodeId(1),
        });
        if let Ok(Outcome::Subscribed { framework }) = &result.0 {
            self.frameworks.insert(name.to_owned(), framework.clone());
        }
        result
    }

    fn run_offer(&mut self, line: &Line<'_>) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        if line.word(0) == "rescind" {
            let offers = line.words[1..].iter().flat_map(|o| self.offer(o)).collect();
            let cause = RescindCause::Timeout;
            return self.world.apply(OffersCommand::Rescinded { offers, cause });
        }
        let framework = self.framework(line.word(1));
        let own = self.stream(&framework);
        let stream = line
            .number("stream")
            .map_or(own, |stream| StreamId(stream.into()));
        let seconds = line.number("refuse").unwrap_or(5);
        let filters = Filters {
            refuse: Duration::from_secs(seconds),
        };
        let roles = || {
            let words = line.words.iter().skip(2);
            words.map(|role| Role::new(role).expect(role)).collect()
        };
        let command = match line.word(0) {
            "offer" => self.new_offer(framework, line),
            "accept" => OffersCommand::Accepted {
                framework,
                stream,
                offers: line.list("offers").iter().map(|o| self.offer(o)).collect(),
                launches: line.words[2..].iter().map(|l| self.launch(l)).collect(),
                filters,
                claim: None,
            },
            "decline" => OffersCommand::Declined {
                framework,
                stream,
                offers: line.words[2..].iter().flat_map(|o| self.offer(o)).collect(),
                filters,
            },
            "suppress" => OffersCommand::Suppressed {
                framework,
                stream,
                roles: roles(),
            },
            _ => OffersCommand::Revived {
                framework,
                stream,
                roles: roles(),
            },
        };
        self.world.apply(command)
    }

    fn new_offer(&self, framework: FrameworkId, line: &Line<'_>) -> OffersCommand {
        let agent = self.agent(line.word(2));
        let row = self.world.offers.agent(agent).expect("a known agent");
        let resources = match line.option("of") {
            Some(text) => Resources::parse(text).expect(text),
            None => row.free.clone(),
        };
        let role = Role::new(line.option("role").unwrap_or("web")).expect("a role");
        OffersCommand::OffersMade {
            offers: vec![NewOffer {
                framework,
                role,
                agent,
                resources,
            }],
        }
    }

    /// `ID:AGENT:RESOURCES`, with `@ROLE` behind it if the resources name a role; `!` before the id is a task that the border could not read, `?` one
    /// without a command, `+` one that asks for what does not exist yet.
    fn launch(&self, text: &str) -> Launch {
        let mut parts = text.splitn(3, ':');
        let (id, agent) = (
            parts.next().expect("an id"),
            parts.next().expect("an agent"),
        );
        let resources = parts.next().unwrap_or("");
        let (resources, role) = match resources.split_once('@') {
            Some((resources, role)) => (resources, Some(Role::new(role).expect("a role"))),
            None => (resources, None),
        };
        let agent = match self.world.agents.get(agent).and_then(|agent| agent.id) {
            Some(id) => AgentName::Id(id),
            None => AgentName::Foreign(Arc::from(agent)),
        };
        if let Some(id) = id.strip_prefix('!') {
            return Launch::Invalid {
                task: Arc::from(id),
                agent,
                why: Arc::from(format!("'{id}' contains invalid characters")),
            };
        }
        let plain = id.trim_start_matches(['?', '+']);
        let mut spec = (*world::spec(plain, resources)).clone();
        if id.starts_with('?') {
            spec.command = None;
        }
        if id.starts_with('+') {
            spec.unsupported = Some(Arc::from("container images are not supported yet"));
        }
        let spec = Arc::new(spec);
        match role {
            Some(role) => Launch::TaskIn { role, agent, spec },
            None => Launch::Task { agent, spec },
        }
    }

    fn run_task(&mut self, line: &Line<'_>) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let framework = self.framework(line.word(1));
        let stream = self.stream(&framework);
        let task: Arc<str> = Arc::from(line.word(2));
        let agent = line.option("agent").map(|name| {
            let known = self.world.agents.get(name).and_then(|agent| agent.id);
            known.map_or_else(|| AgentName::Foreign(Arc::from(name)), AgentName::Id)
        });
        if line.word(0) == "kill" {
            let grace = line.number("grace").map(Duration::from_secs);
            return self.world.apply(OffersCommand::Kill {
                framework,
                stream: Some(stream),
                task,
                agent,
                grace,
            });
        }
        let id = TaskId::new(&task).expect("an id");
        let found = self.world.offers.find_task(&framework, &id);
        let head = found.and_then(|task| self.world.offers.head_update(task.key));
        let update = head.as_ref().and_then(|status| status.update);
        let agent = agent.or(head.and_then(|status| status.agent));
        self.world.apply(OffersCommand::Acknowledged {
            framework,
            stream,
            agent: agent.unwrap_or(AgentName::Foreign(Arc::from("nowhere"))),
            task,
            update: match line.option("update") {
                Some(number) => UpdateId(number.parse().expect("a number")),
                None => update.unwrap_or(UpdateId(0)),
            },
        })
    }

    fn progress(&mut self, line: &Line<'_>) -> String {
        let name = line.word(1);
        let keys: Vec<TaskKey> = self.world.agents[name].tasks.keys().cloned().collect();
        let key = keys.iter().find(|key| key.task.as_str() == line.word(2));
        let key = key.expect("the agent knows the task");
        for state in &line.words[3..] {
            self.world.progress(name, key, state_of(state));
        }
        String::new()
    }

    fn reconcile(&self, line: &Line<'_>) -> String {
        let framework = self.framework(line.word(1));
        let asked: Vec<ReconcileTask> = line.words[2..]
            .iter()
            .map(|text| {
                let (task, agent) = match text.split_once('@') {
                    Some((task, agent)) => (task, Some(agent)),
                    None => (*text, None),
                };
                ReconcileTask {
                    task: Arc::from(task),
                    agent: agent.map(|name| match self.world.agents.get(name) {
                        Some(agent) => AgentName::Id(agent.id.expect("it had a session")),
                        None => AgentName::Foreign(Arc::from(name)),
                    }),
                }
            })
            .collect();
        let wall = shoal_api::Timestamp::from_nanos(0);
        let mut out = String::new();
        for status in self.world.offers.reconcile(&framework, &asked, wall) {
            writeln!(out, "  {}", short_status(&status)).unwrap();
        }
        self.plain(out)
    }

    fn told(&self, result: Result<Outcome, Refusal>, effects: &[Effect]) -> String {
        let mut out = match result {
            Ok(outcome) => format!("  = {}\n", short_outcome(&outcome)),
            Err(refusal) => format!("  ! {refusal}\n"),
        };
        for effect in effects {
            if let Some(line) = short_effect(effect) {
                writeln!(out, "  {line}").unwrap();
            }
        }
        self.plain(out)
    }

    /// Ids without the part that is the same everywhere.
    fn plain(&self, text: String) -> String {
        let mut text = text;
        for incarnation in 1..4 {
            let origin = Origin(ORIGIN.0 + incarnation);
            let short = if incarnation == 1 { "" } else { "new-" };
            text = text.replace(&format!("{origin}-"), short);
        }
        text
    }

    fn state(&self) -> String {
        let mut out = String::new();
        let offers = &self.world.offers;
        for (id, row) in offers.agents() {
            let presence = match row.presence {
                Presence::Connected { master, .. } => format!("connected to {:x}", master.0),
                Presence::Disconnected { restarting, .. } => {
                    format!("disconnected, restarting {restarting:?}")
                }
                Presence::Unreachable { .. } => "unreachable".to_owned(),
            };
            let epoch = row.epoch;
            writeln!(
                out,
                "  agent {id} epoch {epoch} {presence}, free {}",
                row.free
            )
            .unwrap();
        }
        for (id, row) in offers.frameworks() {
            let connection = match row.connection {
                Connection::Connected { stream, .. } => format!("stream {:x}", stream.0),
                Connection::Disconnected { deadline, .. } => format!("away until {deadline}"),
            };
            let name = &row.info.name;
            writeln!(out, "  framework {id} {name} {connection}").unwrap();
        }
        for row in offers.offers() {
            let offer = &row.offer;
            let (id, role) = (offer.id, &offer.role);
            writeln!(
                out,
                "  offer {id} {role} {} {}",
                offer.agent, offer.resources
            )
            .unwrap();
        }
        for task in offers.tasks() {
            let row = task.row;
            let pending: Vec<String> = row.pending.iter().map(|r| short_state(r.state)).collect();
            let kill = if row.kill.is_some() { " kill" } else { "" };
            let agent = row.assignment.agent;
            writeln!(
                out,
                "  task {} {agent} {} {:?}{kill} pending [{}]",
                short_key(task.key),
                short_state(row.state_seen()),
                row.standing,
                pending.join(" ")
            )
            .unwrap();
        }
        for row in offers.completed_tasks() {
            let (key, state) = (short_key(&row.assignment.key), short_state(row.state));
            writeln!(out, "  completed {key} {state}").unwrap();
        }
        self.plain(out)
    }
}

fn state_of(word: &str) -> TaskState {
    match word {
        "starting" => TaskState::Starting,
        "running" => TaskState::Running,
        "killing" => TaskState::Killing,
        "finished" => TaskState::Finished,
        "failed" => TaskState::Failed,
        "killed" => TaskState::Killed,
        "staging" => TaskState::Staging,
        other => panic!("no such state: {other}"),
    }
}

fn short_state(state: TaskState) -> String {
    let name = state.as_str();
    name.strip_prefix("TASK_").unwrap_or(name).to_lowercase()
}

fn short_key(key: &TaskKey) -> String {
    let (life, launch) = (key.launch.0 >> 40, key.launch.0 & 0xff_ffff_ffff);
    let life = if life == 1 {
        String::new()
    } else {
        format!("{life}.")
    };
    format!("{}/{}@{life}{launch}", key.framework, key.task)
}

fn short_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Dropped(why) => format!("dropped: {why:?}"),
        Outcome::Session { agent, epoch } => format!("session of {agent} epoch {epoch}"),
        Outcome::Subscribed { framework } => format!("subscribed {framework}"),
        Outcome::OffersMade { made, skipped } => format!("{made} made, {skipped} skipped"),
        Outcome::Accepted { launched, refused } => {
            let keys: Vec<String> = launched.iter().map(short_key).collect();
            format!("launched [{}], {refused} refused", keys.join(" "))
        }
    }
}

fn short_status(status: &TaskStatus) -> String {
    let mut out = format!("{} {}", status.task, status.state);
    if let Some(agent) = &status.agent {
        let agent = match agent {
            AgentName::Id(id) => id.to_string(),
            AgentName::Foreign(text) => format!("'{text}'"),
        };
        write!(out, " on {agent}").unwrap();
    }
    write!(out, " by {:?}", status.source).unwrap();
    if let Some(reason) = status.reason {
        write!(out, " {reason:?}").unwrap();
    }
    if status.update.is_some() {
        out.push_str(" (to acknowledge)");
    }
    if status.unreachable_since.is_some() {
        out.push_str(" (unreachable since)");
    }
    if !status.message.is_empty() {
        write!(out, ": {}", status.message).unwrap();
    }
    out
}

fn short_notice(notice: &Notice) -> String {
    match notice {
        Notice::Subscribed { framework } => format!("SUBSCRIBED {framework}"),
        Notice::Heartbeat => "HEARTBEAT".to_owned(),
        Notice::Offers(offers) => {
            let all: Vec<String> = offers
                .iter()
                .map(|(o, _)| format!("{} {} {} {}", o.id, o.role, o.agent, o.resources))
                .collect();
            format!("OFFERS {}", all.join(" | "))
        }
        Notice::Rescind(id) => format!("RESCIND {id}"),
        Notice::Update(status) => format!("UPDATE {}", short_status(status)),
        Notice::Operation(status) => format!("OPERATION {} {:?}", status.operation, status.state),
        Notice::Failure { agent } => format!("FAILURE {agent}"),
        Notice::Error(text) => format!("ERROR {text}"),
    }
}

fn short_effect(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::SessionChanged { agent } => format!("session of {agent} changed"),
        Effect::AgentRunsChanged { agent, tasks } => {
            let keys: Vec<String> = tasks.iter().map(short_key).collect();
            format!("{agent} looks at {}", keys.join(" "))
        }
        Effect::UpdateDurable {
            agent,
            task,
            sequence,
        } => format!(
            "{agent} may forget update {sequence} of {}",
            short_key(task)
        ),
        Effect::Notice { stream, notice, .. } => {
            format!("-> stream {:x}: {}", stream.0, short_notice(notice))
        }
        Effect::StreamEnded { stream, .. } => format!("stream {:x} ends", stream.0),
        Effect::Refused {
            role,
            agent,
            resources,
            refuse,
            ..
        } => format!("filter: {role} {agent} {resources} for {refuse:?}"),
        Effect::Revived { roles, .. } => format!("filters go: {roles:?}"),
        Effect::FrameworkGone { framework } => format!("framework {framework} is gone"),
        Effect::TaskChanged { task, state, .. } => {
            format!("task {} is {}", short_key(task), short_state(*state))
        }
        Effect::VolumeDestroyed { agent, terms } => format!("volume {terms} of {agent} destroyed"),
        Effect::TaskGone { task, .. } => format!("task {} is gone", short_key(task)),
        Effect::FrameworkChanged { .. } | Effect::AgentChanged { .. } => return None,
    })
}

#[test]
fn transcripts_are_as_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/testscripts");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of transcripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 6, "transcripts are there");
    let write = option_env!("SHOAL_WRITE_TRANSCRIPTS").is_some();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable transcript");
        let mut script = Script::new();
        let mut out = String::new();
        for line in text.lines().filter(|line| !line.starts_with("  ")) {
            out.push_str(line);
            out.push('\n');
            if !line.is_empty() && !line.starts_with('#') {
                out.push_str(&script.run(line));
            }
        }
        if write {
            std::fs::write(&file, &out).expect("a writable transcript");
        } else {
            assert_eq!(out, text, "{} differs", file.display());
        }
    }
}
