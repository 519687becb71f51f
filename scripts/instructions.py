#!/usr/bin/env python3
"""instructions.py BINARY [BINARY_BEFORE]: instructions for each command, counted by callgrind.

Counts what the server's worker executes, from the socket's read to its write, for GET, SET, HSET, ZADD and MSET of 10,
alone (P=1) and in pipelines of 100. The counts repeat within about 1%, whatever else the machine does, so they show
what a change costs: with a second binary, built from the commit before, the table has both and the ratio. The kernel's
share is not in it. Takes about two minutes for each binary; loads only loopback.
"""
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from measure import Client, encode

KEYS, ELEMENTS, VALUE = 20_000, 20_000, b"x" * 32
BATCHES = {1: 4_000, 100: 300}


def key(number):
    return b"key:%012d" % number


def commands(seed):
    """Each row's name and a function that makes one command."""
    rng = random.Random(seed)
    some = lambda count: rng.randrange(count)
    return {
        "GET": lambda: (b"GET", key(some(KEYS))),
        "SET": lambda: (b"SET", key(some(KEYS)), VALUE),
        "HSET": lambda: (b"HSET", b"hash", b"field:%010d" % some(ELEMENTS), VALUE),
        "ZADD": lambda: (b"ZADD", b"zset", b"%d" % some(1 << 30), b"member:%09d" % some(ELEMENTS)),
        "MSET of 10": lambda: (b"MSET", *(word for _ in range(10) for word in (key(some(KEYS)), VALUE))),
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Counted:
    """A server under callgrind with one worker, on a free port."""

    def __init__(self, binary):
        self.directory = tempfile.mkdtemp(prefix="kvns-instructions-")
        port = free_port()
        settings = {"KVNS_HOST": "127.0.0.1", "KVNS_PORT": str(port), "KVNS_METRICS_PORT": "0",
                    "KVNS_METRICS_HOST": "127.0.0.1", "KVNS_MEMORY_LIMIT": "0", "KVNS_LOG": "warn"}
        pin = ["taskset", "-c", "0"] if shutil.which("taskset") else []
        self.process = subprocess.Popen(
            pin + ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes",
                   f"--callgrind-out-file={self.directory}/out", binary],
            env=dict(os.environ, **settings), cwd=self.directory)
        for _ in range(600):
            try:
                self.client = Client(port)
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError("the server did not start")

    def control(self, *args):
        subprocess.run(["callgrind_control", *args, str(self.process.pid)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def count(self, batches):
        """Instructions of the busiest thread, the worker, while it answers the batches."""
        self.control("--zero")
        for batch in batches:
            self.client.socket.sendall(batch[0])
            for _ in range(batch[1]):
                self.client.read()
        for name in glob.glob(f"{self.directory}/out*"):
            os.remove(name)
        self.control("--dump")
        time.sleep(0.5)
        totals = [0]
        for name in glob.glob(f"{self.directory}/out*"):
            with open(name, encoding="ascii", errors="replace") as file:
                totals += [int(line.split()[1]) for line in file if line.startswith(("totals:", "summary:"))]
        return max(totals)

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.directory)


def measure(binary):
    server, counts = Counted(binary), {}
    make = commands(1)
    for number in range(0, KEYS, 100):
        server.client.pipeline([(b"SET", key(at), VALUE) for at in range(number, number + 100)])
        server.client.pipeline([(b"HSET", b"hash", b"field:%010d" % at, VALUE) for at in range(number, number + 100)])
        server.client.pipeline([(b"ZADD", b"zset", b"%d" % at, b"member:%09d" % at) for at in range(number, number + 100)])
    for pipeline, times in BATCHES.items():
        for name, command in make.items():
            batches = [(b"".join(encode(command()) for _ in range(pipeline)), pipeline) for _ in range(times)]
            counts[name, pipeline] = server.count(batches) / (times * pipeline)
    server.end()
    return counts


def main():
    binaries = [os.path.abspath(binary) for binary in sys.argv[1:3]]
    if not binaries:
        sys.exit(__doc__)
    for tool in ("valgrind", "callgrind_control"):
        if not shutil.which(tool):
            sys.exit(f"instructions: {tool} is missing (it comes with valgrind)")
    after, *before = [measure(binary) for binary in binaries]
    if before:
        print("| command | P | before | after | ratio |\n| --- | --- | --- | --- | --- |")
    else:
        print("| command | P | instructions |\n| --- | --- | --- |")
    for (name, pipeline), count in after.items():
        if before:
            old = before[0][name, pipeline]
            print(f"| {name} | {pipeline} | {old:,.0f} | {count:,.0f} | {count / old:.3f} |")
        else:
            print(f"| {name} | {pipeline} | {count:,.0f} |")


main()
