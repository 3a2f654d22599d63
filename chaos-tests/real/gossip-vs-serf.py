#!/usr/bin/env python3
"""Gossip nodes of Shoal beside agents of Serf, on this machine, by the same measures.

    unshare -rn chaos-tests/real/gossip-vs-serf.py --shoal PATH [--serf PATH] [--nodes 50] [--kills 10]

Run it in a network namespace of its own, as above: it brings up loopback there, gives every member an
address of 127.0.0.0/8, and drops packets with `iptables` or `tc` for the measures under loss. Each kind runs alone, for
some minutes. What members see is read from their logs as the lines arrive, for both kinds alike.
Debian's `serf` has the package `serf`; without `--serf` only Shoal runs.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERTZ = os.sysconf("SC_CLK_TCK")


class Member:
    """One process, and the lines it wrote with their times of arrival."""

    def __init__(self, name, command, matcher):
        self.name = name
        self.matcher = matcher
        self.seen = []
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            at = time.monotonic()
            found = self.matcher(line)
            if found:
                self.seen.append((at, *found))

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HERTZ

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def serf_line(line):
    found = re.search(r"EventMember(Join|Failed|Leave): (\S+)", line)
    return (found.group(1).lower(), found.group(2)) if found else None


def shoal_line(line):
    found = re.search(r'member status.*name="?([\w-]+)"?.*status=(\w+)', line)
    if found:
        return (found.group(2), found.group(1))
    found = re.search(r"member joined.*addr=([\d.]+):", line)
    return ("join", found.group(1)) if found else None


class Kind:
    def __init__(self, title, binary, folder, profile):
        self.title, self.binary, self.folder, self.profile = title, binary, folder, profile
        self.serf = title == "serf"

    def address(self, index):
        return f"127.0.{1 if self.serf else 2}.{index + 1}"

    def name(self, index):
        return f"n{index}"

    def start(self, index, seed):
        address, name = self.address(index), self.name(index)
        if self.serf:
            command = [self.binary, "agent", f"-node={name}", f"-bind={address}:7946",
                       f"-rpc-addr={address}:7373", f"-profile={self.profile}", "-log-level=info"]
            command += [f"-join={self.address(seed)}:7946"] if index != seed else []
            return Member(name, command, serf_line)
        command = [self.binary, "node", f"--name={name}", f"--data={self.folder}/{name}",
                   f"--gossip={address}:7946", f"--http={address}:5050",
                   f"--gossip-profile={self.profile}", "--log-level=info,api=warn"]
        command += [f"--gossip-key-file={self.folder}/key"] if os.path.exists(f"{self.folder}/key") else []
        command += [f"--join={self.address(seed)}:7946"] if index != seed else []
        return Member(name, command, shoal_line)

    def known(self, index):
        """How a member is called in the lines about its joining."""
        return self.name(index) if self.serf else self.address(index)


def wait(holds, most):
    end = time.monotonic() + most
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


def saw(member, what, whom, since):
    return next((at for at, kind, name in list(member.seen)
                 if at >= since and kind == what and name == whom), None)


def octets():
    with open("/proc/net/netstat") as netstat:
        lines = [line.split() for line in netstat if line.startswith("IpExt:")]
    return int(dict(zip(lines[0], lines[1]))["OutOctets"])


def run(*command):
    return subprocess.run(command, capture_output=True).returncode == 0


def loss(percent):
    """Drops that many of a hundred packets of the gossip; false where the kernel cannot."""
    run("tc", "qdisc", "del", "dev", "lo", "root")
    tables = [name for name in ("iptables", "iptables-legacy") if shutil.which(name)]
    for name in tables:
        run(name, "-F", "INPUT")
    if not percent:
        return True
    for name in tables:
        rules = [run(name, "-A", "INPUT", "-p", protocol, "--dport", "7946", "-m", "statistic", "--mode",
                     "random", "--probability", str(percent / 100), "-j", "DROP") for protocol in ("udp", "tcp")]
        if all(rules):
            return True
    return run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", f"{percent}%", "limit", "100000")


def kills(kind, members, count):
    """The time from each SIGKILL until the last member saw the failure, in order."""
    times = []
    for turn in range(count):
        index = 1 + turn % (len(members) - 1)
        victim = members[index]
        others = [member for member in members if member is not victim]
        start = time.monotonic()
        victim.end()
        ended = wait(lambda: all(saw(m, "failed", victim.name, start) for m in others), 60)
        if ended:
            times.append(max(saw(m, "failed", victim.name, start) for m in others) - start)
        members[index] = kind.start(index, 0)
        back = time.monotonic()
        known = kind.known(index)
        wait(lambda: all(saw(m, "join", known, start) for m in others), 60)
        time.sleep(max(0.0, 5 - (time.monotonic() - back)))
    return sorted(times)


def show(what, kind, figure):
    print(f"{kind.title:<6} {what:<58} {figure}", flush=True)


def middle(times):
    return f"{statistics.median(times):.2f} s, worst {times[-1]:.2f} s, of {len(times)}" if times else "never"


def measure(kind, arguments):
    count = arguments.nodes
    members = [kind.start(0, 0)]
    try:
        time.sleep(2)
        start = time.monotonic()
        members += [kind.start(index, 0) for index in range(1, count - 1)]
        full = lambda m: len({name for _, what, name in list(m.seen) if what == "join"}) >= count - 2
        met = wait(lambda: all(full(member) for member in members), 120)
        show("cold start, until every view is full", kind,
             f"{time.monotonic() - start:.2f} s" if met else "never")
        time.sleep(20)

        start = time.monotonic()
        members.append(kind.start(count - 1, 1))
        known = kind.known(count - 1)
        wait(lambda: all(saw(m, "join", known, start) for m in members[:-1]) and full(members[-1]), 60)
        seen = [saw(m, "join", known, start) for m in members[:-1]]
        show("join seen by all, from the start of the process", kind,
             f"{max(seen) - start:.2f} s" if all(seen) else "never")
        own = [at for at, what, _ in members[-1].seen if what == "join"]
        show("a joiner sees all, from the start of the process", kind,
             f"{max(own) - start:.2f} s" if full(members[-1]) else "never")
        time.sleep(30)

        before, cpu = octets(), sum(member.cpu() for member in members)
        time.sleep(60)
        show("idle, bytes per second and member, IP headers too", kind,
             f"{(octets() - before) / 60 / count:.0f} B")
        used = sum(member.cpu() for member in members) - cpu
        show("idle, processor per second and member", kind, f"{used / 60 / count * 1000:.2f} ms")
        show("resident memory of a member, median", kind,
             f"{statistics.median(member.memory() for member in members):.1f} MB")

        show("SIGKILL to failed, seen by the last, median", kind, middle(kills(kind, members, arguments.kills)))
        for percent in (10, 25):
            if not loss(percent):
                show("under loss", kind, "this kernel has neither iptables' statistic nor tc's netem")
                return
            time.sleep(5)
            start = time.monotonic()
            time.sleep(arguments.watch)
            wrong = sum(1 for m in members for at, what, _ in list(m.seen) if at >= start and what == "failed")
            show(f"false failures in {arguments.watch} s at {percent} % loss", kind, str(wrong))
        show("SIGKILL to failed at 25 % loss, median", kind, middle(kills(kind, members, arguments.kills)))
    finally:
        loss(0)
        for member in members:
            member.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shoal", required=True)
    parser.add_argument("--serf")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--watch", type=int, default=150)
    parser.add_argument("--profile", choices=["lan", "wan", "local"], default="lan")
    arguments = parser.parse_args()
    if not 3 <= arguments.nodes <= 250:
        sys.exit("--nodes takes 3 to 250")
    # Only in a namespace of its own may loopback lose packets.
    if os.readlink("/proc/self/ns/net") == os.readlink(f"/proc/{os.getppid()}/ns/net") and \
            len(os.listdir("/sys/class/net")) > 1:
        sys.exit("run it in a network namespace of its own: unshare -rn " + sys.argv[0])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    folder = tempfile.mkdtemp(prefix="shoal-gossip-")
    try:
        made = subprocess.run([arguments.shoal, "keyring", "generate"], capture_output=True, text=True)
        if made.returncode == 0:
            with open(f"{folder}/key", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as key:
                key.write(made.stdout)
        measure(Kind("shoal", arguments.shoal, folder, arguments.profile), arguments)
        if arguments.serf:
            measure(Kind("serf", arguments.serf, folder, arguments.profile), arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
