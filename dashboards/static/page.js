// The start page: asks this node's API again and again, and shows what it says.
//
// Nothing here makes HTML out of text. Names come from users, so they only ever become text nodes and
// the values of properties; the browser is told to refuse everything else as well.
"use strict";

// How long to rest between two looks, and how many times as long as the last look took.
const REST_MS = 2000;
const REST_FACTOR = 10;
// Rows of a table; who wants more takes the JSON.
const ROWS = 200;
// How long a node may take to answer.
const PATIENCE_MS = 15000;

const MEBIBYTE_UNITS = ["MiB", "GiB", "TiB", "PiB"];
const KINDS = {
  good: ["alive", "connected", "leader", "TASK_RUNNING", "TASK_FINISHED"],
  poor: ["suspect", "leaving", "left", "disconnected", "learner", "WAITING", "TASK_KILLING"],
  bad: ["failed", "unreachable", "absent", "TASK_FAILED", "TASK_LOST", "TASK_ERROR",
    "TASK_UNREACHABLE", "TASK_DROPPED", "TASK_GONE"],
};

let shown = null;

// An element with properties and children; texts become text nodes.
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function state(word) {
  const text = String(word ?? "-");
  const kinds = Object.entries(KINDS);
  const kind = kinds.find(([, words]) => words.includes(text))?.[0] ?? "";
  return make("span", { className: kind }, text.replace(/^TASK_/, ""));
}

function link(path, text) {
  return make("a", { href: path }, text);
}

// A link to another node, if its address looks like one.
function node(address) {
  const text = String(address ?? "-");
  return /^[\w.\-:[\]]+:\d+$/.test(text) ? link(`http://${text}/`, text) : text;
}

// `cpus:4;mem:1024;ports:[1-2]` as numbers by name; ranges are left out.
function scalars(text) {
  const numbers = new Map();
  for (const part of String(text ?? "").split(";")) {
    const at = part.indexOf(":");
    const value = Number(part.slice(at + 1));
    if (at > 0 && Number.isFinite(value)) {
      const name = part.slice(0, at).trim().replace(/\(.*\)$/, "");
      numbers.set(name, (numbers.get(name) ?? 0) + value);
    }
  }
  return numbers;
}

function mebibytes(amount) {
  let unit = 0;
  while (amount >= 1024 && unit < MEBIBYTE_UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${Number(amount.toFixed(1))} ${MEBIBYTE_UNITS[unit]}`;
}

function processors(amount) {
  return String(Number(amount.toFixed(3)));
}

// Used and total of a resource, with a bar.
function usage(used, total, write) {
  if (!total) {
    return "-";
  }
  const bar = make("progress", { max: total, value: used });
  return make("span", {}, bar, ` ${write(used)} / ${write(total)}`);
}

// What tasks hold of an agent; the rest is free or offered to frameworks.
function used(agent, name) {
  return { used: agent.used.get(name) ?? 0, total: scalars(agent.resources).get(name) ?? 0 };
}

// Adds up what tasks hold, for each agent.
function count(agents, tasks) {
  const byId = new Map(agents.map((agent) => [agent.id, agent]));
  for (const agent of agents) {
    agent.used = new Map();
  }
  for (const task of tasks.filter((task) => !task.terminal)) {
    const held = byId.get(task.agent)?.used;
    for (const [name, amount] of held ? scalars(task.resources) : []) {
      held.set(name, (held.get(name) ?? 0) + amount);
    }
  }
}

function sum(agents, name) {
  const both = { used: 0, total: 0 };
  for (const agent of agents.filter((agent) => agent.status === "connected")) {
    const one = used(agent, name);
    both.used += one.used;
    both.total += one.total;
  }
  return both;
}

// Masters, agents and members in the order of their names; frameworks and tasks as they come.
function byName(rows) {
  const order = (a, b) => String(a.name).localeCompare(String(b.name), "en", { numeric: true });
  return rows && [...rows].sort(order);
}

// How many rows have each value, as words, the most frequent one first.
function tally(rows, of) {
  const counts = new Map();
  for (const row of rows) {
    const word = String(of(row) ?? "-").replace(/^TASK_/, "").toLowerCase();
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const parts = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return parts.map(([word, count]) => `${count} ${word}`).join(", ") || "none";
}

const COLUMNS = {
  masters: [
    ["name", (row) => row.name ?? row.raft_id],
    ["role", (row) => state(row.voter ? row.role : "learner")],
    ["status", (row) => state(row.status)],
    ["API", (row) => node(row.http)],
  ],
  agents: [
    ["name", (row) => row.name],
    ["status", (row) => state(row.status)],
    ["processors", (row) => resource(row, "cpus", processors)],
    ["memory", (row) => resource(row, "mem", mebibytes)],
    ["disk", (row) => resource(row, "disk", mebibytes)],
    ["tasks", (row) => String(row.tasks)],
  ],
  frameworks: [
    ["name", (row) => row.name],
    ["status", (row) => state(row.status)],
    ["roles", (row) => (row.roles ?? []).join(", ")],
    ["tasks", (row) => String(row.tasks)],
    ["offers", (row) => String(row.offers)],
    ["id", (row) => make("span", { className: "id" }, row.id)],
  ],
  tasks: [
    ["task", (row) => row.id],
    ["state", (row) => state(row.state)],
    ["framework", (row) => row.framework_name],
    ["agent", (row) => row.agent_name ?? "-"],
    ["resources", (row) => row.resources],
    ["wrote", (row) => (row.agent ? files(row) : "-")],
  ],
  members: [
    ["name", (row) => row.name ?? row.id],
    ["status", (row) => state(row.status)],
    ["roles", (row) => row.tags?.roles || "member"],
    ["API", (row) => node(row.tags?.http)],
    ["gossip", (row) => row.addr],
  ],
};

const NOTHING = {
  masters: "No master has been founded.",
  agents: "No agents: nothing can run. Nodes with the role agent join through any member.",
  frameworks: "No frameworks.",
  tasks: "No tasks. `shoal run -- CMD` starts one.",
  members: "No members.",
};

function resource(agent, name, write) {
  const both = used(agent, name);
  return usage(both.used, both.total, write);
}

function files(task) {
  const logs = (file) => {
    const of = new URLSearchParams({ framework: task.framework, file });
    return `/shoal/v1/tasks/${encodeURIComponent(task.id)}/logs?${of}`;
  };
  return make("span", {}, link(logs("stdout"), "stdout"), " ", link(logs("stderr"), "stderr"));
}

// Fills a section.
function show(id, rows) {
  const columns = COLUMNS[id];
  let content;
  if (!rows) {
    content = make("p", { className: "none" }, "This node cannot tell at the moment.");
  } else if (rows.length === 0) {
    content = make("p", { className: "none" }, NOTHING[id]);
  } else {
    const head = columns.map(([name]) => make("th", { scope: "col" }, name));
    const body = rows.slice(0, ROWS).map((row) => {
      const cells = columns.map(([name, cell]) => {
        const element = make("td", {}, make("span", {}, cell(row) ?? "-"));
        element.dataset.name = name;
        return element;
      });
      return make("tr", {}, ...cells);
    });
    const table = make("table", {},
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
    const more = rows.length > ROWS
      ? make("p", { className: "none" }, `and ${rows.length - ROWS} more, all of them in the JSON`)
      : null;
    content = make("div", { className: "wide" }, table, more);
  }
  const section = document.getElementById(id);
  section.replaceChildren(section.querySelector("h2"), content);
}

function numbers(found) {
  const list = [];
  const add = (name, value) => list.push(
    make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  if (found.masters) {
    const voters = found.masters.filter((master) => master.voter);
    const alive = voters.filter((master) => master.status === "alive").length;
    const leader = voters.find((master) => master.role === "leader");
    add("Leader", found.age > 0 || !leader ? state("absent") : leader.name ?? String(leader.raft_id));
    add("Voters alive", `${alive} of ${voters.length}`);
  }
  if (found.members) {
    add("Members", tally(found.members, (member) => member.status));
  }
  if (found.agents) {
    add("Agents", tally(found.agents, (agent) => agent.status));
    const [cpus, memory] = [sum(found.agents, "cpus"), sum(found.agents, "mem")];
    add("Processors", `${processors(cpus.used)} / ${processors(cpus.total)}`);
    add("Memory", `${mebibytes(memory.used)} / ${mebibytes(memory.total)}`);
  }
  if (found.tasks) {
    add("Tasks", tally(found.tasks, (task) => task.state));
  }
  if (found.frameworks) {
    add("Frameworks", tally(found.frameworks, (framework) => framework.status));
  }
  document.getElementById("numbers").replaceChildren(...list);
}

// Asks for a document: its content, or why there is none.
async function ask(path) {
  const answer = await fetch(path, {
    cache: "no-store",
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  const content = await answer.json().catch(() => ({}));
  const age = Number(answer.headers.get("shoal-age-seconds") ?? 0);
  return { ok: answer.ok, status: answer.status, content, age };
}

// Everything that this node can tell. Without a leader it tells what it last knew.
async function look() {
  const found = { age: 0, trouble: "", elsewhere: false };
  found.members = byName((await ask("/shoal/v1/members")).content.members);
  const lists = { masters: "quorum", agents: "agents", frameworks: "frameworks", tasks: "tasks" };
  // A follower without a leader makes an asker wait, so that this is asked first.
  const leader = await ask("/shoal/v1/leader");
  if (!leader.ok && (leader.status === 404 || leader.content.unchanged)) {
    found.elsewhere = true;
    found.trouble = "This node is no master. The masters among the members below tell the rest.";
    return found;
  }
  const query = leader.ok ? "" : "?stale=ok";
  for (const [name, path] of Object.entries(lists)) {
    const answer = await ask(`/shoal/v1/${path}${query}`);
    if (answer.ok) {
      const rows = answer.content[name];
      found[name] = ["masters", "agents"].includes(name) ? byName(rows) : rows;
      found.age = Math.max(found.age, answer.age);
    } else {
      const { error, hint } = answer.content;
      found.trouble = [error ?? `${path}: status ${answer.status}`, hint].filter(Boolean).join("; ");
    }
  }
  count(found.agents ?? [], found.tasks ?? []);
  if (!leader.ok && !found.trouble) {
    found.trouble = "No master leads: nothing can be changed, and tasks run on. "
      + `What stands here is ${Math.round(found.age)} s old.`;
  }
  return found;
}

function trouble(text) {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = text === "";
}

async function refresh() {
  const began = performance.now();
  try {
    const found = await look();
    numbers(found);
    for (const id of Object.keys(COLUMNS)) {
      show(id, found[id]);
      document.getElementById(id).hidden = found.elsewhere && !found[id];
    }
    trouble(found.trouble);
    shown = new Date();
    document.getElementById("when").textContent = `at ${shown.toLocaleTimeString()}`;
  } catch (error) {
    const old = shown ? ` What stands here is of ${shown.toLocaleTimeString()}.` : "";
    trouble(`This node does not answer (${error.message}).${old}`);
  }
  const rest = Math.max(REST_MS, REST_FACTOR * (performance.now() - began));
  setTimeout(next, rest);
}

// A page that nobody sees asks for nothing.
function next() {
  if (document.hidden) {
    document.addEventListener("visibilitychange", next, { once: true });
  } else {
    refresh();
  }
}

refresh();
