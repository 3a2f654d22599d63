"""A Mesos framework in one page: runs some commands with any master, and ends when they have.

Usage: first_framework.py HOST:PORT
"""

import sys

from pymesos import MesosSchedulerDriver, Scheduler

TASKS = 5
CPUS, MEM = 0.1, 16
ENDED = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST"}


class First(Scheduler):
    def __init__(self):
        self.launched = 0
        self.ended = 0

    def registered(self, driver, framework_id, master_info):
        print("registered with", master_info["hostname"])

    def resourceOffers(self, driver, offers):
        for offer in offers:
            scalars = [r for r in offer["resources"] if r["type"] == "SCALAR"]
            free = {r["name"]: r["scalar"]["value"] for r in scalars}
            tasks = []
            while (self.launched < TASKS and free.get("cpus", 0) >= CPUS
                   and free.get("mem", 0) >= MEM):
                free["cpus"] -= CPUS
                free["mem"] -= MEM
                tasks.append(self.task(offer["agent_id"]))
            # Launching nothing declines the offer.
            driver.launchTasks(offer["id"], tasks)

    def task(self, agent_id):
        self.launched += 1
        return {
            "task_id": {"value": "first-%d" % self.launched},
            "agent_id": agent_id,
            "name": "first",
            "command": {"shell": True, "value": "echo this is task %d" % self.launched},
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": CPUS}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": MEM}},
            ],
        }

    def statusUpdate(self, driver, update):
        print(update["task_id"]["value"], update["state"])
        if update["state"] in ENDED:
            self.ended += 1
        if self.ended == TASKS:
            print("all tasks have ended")
            driver.stop()


def main():
    framework = {"user": "root", "name": "first", "failover_timeout": 60}
    driver = MesosSchedulerDriver(First(), framework, sys.argv[1])
    driver.run()


if __name__ == "__main__":
    main()
