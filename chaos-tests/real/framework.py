"""A Mesos framework as a careful user would write it, on unmodified pymesos.

It runs a number of shell commands to their end, each exactly once, whatever happens to the masters:
it subscribes with any master that answers, keeps its framework id, acknowledges explicitly, and after
each re-subscription reconciles until it was told about every task that it is unsure of. A task is
launched again only when the master says that it does not exist, never on a guess.

Everything worth knowing is printed on stdout, one JSON object per line; the last one has the event
"summary". Exit code 0: all tasks ended as wanted; 1: they did not; 2: usage.
"""

import argparse
import getpass
import http.client
import json
import signal
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field

from pymesos import MesosSchedulerDriver, Scheduler

TERMINAL = {
    "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR",
    "TASK_LOST", "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR",
}
# The master says that this task does not exist: it never started, or nobody has it.
NONEXISTENT = {"TASK_DROPPED", "TASK_UNKNOWN", "TASK_GONE"}
# The same, said to a framework that is not partition-aware. AGENT_REMOVED is not among them: such a
# task may still run and come back.
LOST_FOR_GOOD = {"REASON_INVALID_OFFERS", "REASON_RECONCILIATION", "REASON_AGENT_DISCONNECTED"}
# After this many missed heartbeats a stream counts as dead.
MISSED_HEARTBEATS = 5
HEARTBEAT_SECONDS = 15.0
RECONCILE_FIRST_SECONDS = 1.0
RECONCILE_MAX_SECONDS = 8.0


def say(event, **fields):
    """Prints one line for whoever drives this framework."""
    print(json.dumps({"event": event, **fields}, sort_keys=True), flush=True)


@dataclass
class Task:
    """One command to run, and what is known of its current attempt."""

    number: int
    attempt: int = 0
    state: str = "pending"
    message: str = ""
    agent: str = ""
    launched_at: float = 0.0
    running_after: float = None
    # An answer is owed by the master: set when a reconciliation asks, cleared by any update.
    unsure: bool = False
    states: list = field(default_factory=list)

    @property
    def id(self):
        return "task-%d.%d" % (self.number, self.attempt)


class Book:
    """The tasks: what to launch, what to ask about, when all is done. Knows nothing of pymesos."""

    def __init__(self, count, wanted):
        self.tasks = [Task(number) for number in range(count)]
        self.wanted = wanted
        self.by_id = {}
        self.seen = set()
        self.duplicates = 0
        self.stray = []
        self.relaunched = []
        self.failure = None

    def pending(self):
        return [task for task in self.tasks if task.state == "pending"]

    def open_tasks(self):
        return [t for t in self.tasks if t.state != "pending" and t.state not in self.wanted]

    def unsure_tasks(self):
        return [task for task in self.open_tasks() if task.unsure]

    def done(self):
        return all(task.state in self.wanted for task in self.tasks)

    def launch(self, task, agent):
        task.attempt += 1
        task.state = "launched"
        task.agent = agent
        task.launched_at = time.monotonic()
        self.by_id[task.id] = task

    def update(self, status):
        """Takes one status update; returns whether it changed anything."""
        task_id, state = status["task_id"]["value"], status["state"]
        uuid = status.get("uuid")
        if uuid is not None:
            if uuid in self.seen:
                self.duplicates += 1
            self.seen.add(uuid)
        task = self.by_id.get(task_id)
        if task is None or task.id != task_id:
            # An attempt that was given up speaks: it must only ever repeat that it does not exist.
            if state not in NONEXISTENT and state != "TASK_LOST":
                self.stray.append("%s %s" % (task_id, state))
            return False
        task.unsure = False
        if task.state in TERMINAL:
            if state in TERMINAL and state != task.state:
                self.fail("%s was %s and became %s" % (task_id, task.state, state))
            return False
        reason = status.get("reason", "")
        if state in NONEXISTENT or (state == "TASK_LOST" and reason in LOST_FOR_GOOD):
            self.relaunched.append("%s %s %s" % (task_id, state, reason))
            task.state = "pending"
            return True
        changed = state != task.state
        task.state = state
        task.message = status.get("message", task.message)
        if changed:
            task.states.append(state)
        if state == "TASK_RUNNING" and task.running_after is None:
            task.running_after = time.monotonic() - task.launched_at
        if state in TERMINAL and state not in self.wanted:
            self.fail("%s ended as %s %s: %s" % (task_id, state, reason, task.message))
        return changed

    def fail(self, why):
        self.failure = self.failure or why


class Careful(Scheduler):
    """The callbacks of pymesos. They come from its one thread, which also sends what they call."""

    def __init__(self, options, book):
        self.options = options
        self.book = book
        self.lock = threading.Lock()
        self.masters = options.masters
        self.target = self.masters[0]
        self.subscriptions = 0
        self.disconnections = 0
        self.agents_lost = 0
        self.failed_calls = []
        self.suppressed = False
        self.failures_in_row = 0
        self.last_event = time.monotonic()
        self.reconcile_at = None
        self.reconcile_pause = RECONCILE_FIRST_SECONDS
        self.framework_id = None

    # Subscription.

    def registered(self, driver, framework_id, master_info):
        self.framework_id = framework_id["value"]
        self.subscribed(driver)

    def reregistered(self, driver, master_info):
        self.subscribed(driver)

    def subscribed(self, driver):
        with self.lock:
            self.subscriptions += 1
            self.failures_in_row = 0
            self.suppressed = False
            self.last_event = time.monotonic()
            self.doubt(self.book.open_tasks(), 0.0)
        say("subscribed", master=self.target, framework=self.framework_id,
            subscriptions=self.subscriptions)

    def doubt(self, tasks, pause):
        """Asks about these tasks after a pause, again and again until there is an answer on each."""
        for task in tasks:
            task.unsure = True
        self.reconcile_at = time.monotonic() + pause
        self.reconcile_pause = RECONCILE_FIRST_SECONDS

    def disconnected(self, driver):
        if driver.aborted or driver.master != self.target:
            return  # The end, or the closing of the old stream on the way to the target.
        with self.lock:
            self.disconnections += 1
            self.failures_in_row += 1
            failures = self.failures_in_row
        say("disconnected", master=self.target)
        # pymesos dials again at once, for ever: the pause here is what keeps it civil.
        time.sleep(min(0.05 * 2 ** min(failures, 5), 1.0))
        self.move(driver)

    def move(self, driver):
        """Turns to the next master that answers, or to the next one at all."""
        start = self.masters.index(self.target) + 1
        order = [self.masters[(start + i) % len(self.masters)] for i in range(len(self.masters))]
        self.target = next((master for master in order if answers(master)), order[0])
        driver.change_master(self.target)

    def error(self, driver, message):
        with self.lock:
            self.book.fail("the master said: %s" % message)

    def processHeartBeat(self, driver):
        with self.lock:
            self.last_event = time.monotonic()
        # Every framework is advised to do this from time to time.
        self.call(driver, "implicit reconciliation", lambda: driver.reconcileTasks([]))

    def slaveLost(self, driver, agent_id):
        with self.lock:
            self.agents_lost += 1

    # Offers.

    def resourceOffers(self, driver, offers):
        with self.lock:
            self.last_event = time.monotonic()
        for offer in offers:
            with self.lock:
                tasks = self.fill(offer)
            if not tasks:
                self.call(driver, "decline", lambda: driver.declineOffer(
                    offer["id"], {"refuse_seconds": 1.0}))
                continue
            infos = [self.task_info(task, offer) for task in tasks]
            launched = self.call(driver, "launch", lambda: driver.launchTasks(
                offer["id"], infos, {"refuse_seconds": 0.0}))
            if not launched:
                with self.lock:
                    self.doubt(tasks, RECONCILE_MAX_SECONDS)
                return
        with self.lock:
            idle = not self.book.pending()
        if idle and not self.suppressed:
            self.suppressed = self.call(driver, "suppress", driver.suppressOffers)

    def fill(self, offer):
        """Takes as many pending tasks as fit into the offer."""
        free = {r["name"]: r["scalar"]["value"] for r in offer["resources"] if r["type"] == "SCALAR"}
        cpus, mem = free.get("cpus", 0.0), free.get("mem", 0.0)
        tasks = []
        for task in self.book.pending()[:self.options.per_offer]:
            if cpus + 1e-6 < self.options.cpus or mem + 1e-6 < self.options.mem:
                break
            cpus, mem = cpus - self.options.cpus, mem - self.options.mem
            self.book.launch(task, offer["agent_id"]["value"])
            tasks.append(task)
        return tasks

    def task_info(self, task, offer):
        command = self.options.command.replace("{number}", str(task.number))
        command = command.replace("{id}", task.id)
        return {
            "task_id": {"value": task.id},
            "agent_id": offer["agent_id"],
            "name": "task %d" % task.number,
            "command": {"shell": True, "value": command},
            "resources": [
                {"name": name, "type": "SCALAR", "scalar": {"value": value}}
                for name, value in (("cpus", self.options.cpus), ("mem", self.options.mem))
            ],
        }

    # Updates.

    def statusUpdate(self, driver, status):
        with self.lock:
            self.last_event = time.monotonic()
            changed = self.book.update(status)
            wants_offers = self.suppressed and bool(self.book.pending())
        if changed:
            say("update", task=status["task_id"]["value"], state=status["state"],
                reason=status.get("reason"), message=status.get("message"))
        # What is not acknowledged comes again.
        self.call(driver, "acknowledge", lambda: driver.acknowledgeStatusUpdate(status))
        if wants_offers:
            self.suppressed = not self.call(driver, "revive", driver.reviveOffers)

    def call(self, driver, what, send):
        """Sends a call; when that fails its outcome is unknown, so a new subscription must settle it."""
        try:
            send()
            return True
        except Exception as why:
            with self.lock:
                self.failed_calls.append("%s: %s" % (what, str(why)[:200]))
            say("call failed", what=what, why=str(why)[:200])
            if driver.connected and driver.master == self.target:
                self.move(driver)
            return False

    # The clock, called by the main thread; it never holds the lock while pymesos works.

    def tick(self, driver):
        now = time.monotonic()
        with self.lock:
            due = self.reconcile_at is not None and now >= self.reconcile_at
            unsure = self.book.unsure_tasks() if due else []
            if due:
                self.reconcile_at = now + self.reconcile_pause if unsure else None
                self.reconcile_pause = min(2 * self.reconcile_pause, RECONCILE_MAX_SECONDS)
            silent = now - self.last_event > MISSED_HEARTBEATS * HEARTBEAT_SECONDS
            if silent:
                self.last_event = now
        if unsure and driver.connected:
            ids = [{"task_id": {"value": task.id}} for task in unsure]
            self.call(driver, "explicit reconciliation", lambda: driver.reconcileTasks(ids))
        if silent:
            say("silent", master=self.target)
            self.move(driver)


def answers(master):
    """Whether a master's HTTP address is alive."""
    host, port = master.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=1.0)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def summary(careful, book, why, seconds):
    latencies = [1000 * t.running_after for t in book.tasks if t.running_after is not None]
    states = {}
    for task in book.tasks:
        states[task.state] = states.get(task.state, 0) + 1
    say(
        "summary", ok=why is None, why=why, seconds=round(seconds, 3), tasks=len(book.tasks),
        states=states, framework=careful.framework_id, subscriptions=careful.subscriptions,
        disconnections=careful.disconnections, agents_lost=careful.agents_lost,
        relaunched=book.relaunched, stray=book.stray, duplicates=book.duplicates,
        failed_calls=careful.failed_calls,
        launch_to_running_ms=round(statistics.median(latencies), 3) if latencies else None,
        results={
            task.id: {"state": task.state, "message": task.message, "agent": task.agent,
                      "states": task.states}
            for task in book.tasks
        },
    )


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--masters", required=True, help="HOST:PORT,… ; the first is dialled first")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--command", required=True, help="{id} and {number} stand for the task's")
    parser.add_argument("--cpus", type=float, default=0.1)
    parser.add_argument("--mem", type=float, default=16.0)
    parser.add_argument("--per-offer", type=int, default=10, help="tasks per accept, at most")
    parser.add_argument("--failover-timeout", type=float, default=60.0)
    parser.add_argument("--deadline", type=float, default=180.0, help="seconds")
    parser.add_argument("--wanted", default="TASK_FINISHED", help="the ends that count, by comma")
    parser.add_argument("--name", default="careful")
    parser.add_argument("--plain", action="store_true", help="without PARTITION_AWARE")
    options = parser.parse_args(arguments)
    options.masters = options.masters.split(",")
    return options


def main():
    options = parse(sys.argv[1:])
    framework = {
        "user": getpass.getuser(),
        "name": options.name,
        "failover_timeout": options.failover_timeout,
    }
    if not options.plain:
        framework["capabilities"] = [{"type": "PARTITION_AWARE"}]
    book = Book(options.tasks, set(options.wanted.split(",")))
    careful = Careful(options, book)
    driver = MesosSchedulerDriver(
        careful, framework, careful.target, implicit_acknowledgements=False,
        timeout=options.deadline)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    start = time.monotonic()
    why = None
    driver.start()
    while True:
        with careful.lock:
            if book.failure or book.done():
                why = book.failure
                break
        if driver.aborted:
            why = "pymesos gave up"
        elif stop.is_set():
            why = "told to stop"
        elif time.monotonic() - start > options.deadline:
            why = "%.0f s were not enough" % options.deadline
        if why:
            break
        careful.tick(driver)
        stop.wait(0.05)
    # A framework that ends in good order takes itself down; any other leaves that to its timeout.
    driver.stop(failover=why is not None)
    driver.join()
    summary(careful, book, why, time.monotonic() - start)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
