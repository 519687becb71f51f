#!/usr/bin/env python3
"""A mixed load for a server under a sanitizer: what the lock-free parts do to each other, all at once.

Usage: asan_load.py BINARY MINUTES [SEED]. Fails if the sanitizer reports anything, the server dies or panics, or a
client waits too long for a reply.
"""

import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# Seconds that a reply may take: the sanitizer, a full machine, and a limit that makes writers wait.
PATIENCE = 60
TENANTS = 10_000
REPORTS = (b"AddressSanitizer", b"LeakSanitizer", b"a task panicked")


class Client:
    """One connection; error replies are values."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.input = self.socket.makefile("rb")

    def run(self, *args):
        return self.pipeline([args])[0]

    def pipeline(self, commands):
        request = bytearray()
        for args in commands:
            request += b"*%d\r\n" % len(args)
            for arg in args:
                arg = arg if isinstance(arg, bytes) else str(arg).encode()
                request += b"$%d\r\n%s\r\n" % (len(arg), arg)
        self.socket.sendall(request)
        return [self.reply() for _ in commands]

    def reply(self):
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.input.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        return rest


def strings(client, rng):
    """Strings of all sizes in a few namespaces, read and written."""
    keys = [f"{rng.choice(['', 'a/', 'b/', 'c/'])}s{rng.randrange(50_000)}" for _ in range(40)]
    commands = []
    for key in keys:
        value = rng.randbytes(rng.choice([1, 8, 64, 64, 700, 5_000, 100_000 if rng.random() < 0.02 else 64]))
        commands.append(
            rng.choice(
                [
                    ("SET", key, value),
                    ("GET", key),
                    ("APPEND", key, value),
                    ("SETRANGE", key, rng.randrange(90_000) if rng.random() < 0.05 else 3, value),
                    ("MSET", key, value, rng.choice(keys), b"v"),
                    ("MGET", key, rng.choice(keys)),
                    ("DEL", key, rng.choice(keys)),
                    ("RENAME", key, rng.choice(keys)),
                    ("GETDEL", key),
                    ("INCR", f"n{rng.randrange(1_000)}"),
                ]
            )
        )
    client.pipeline(commands)


def deadlines(client, rng):
    """Short and long deadlines, moved both ways and given up."""
    commands = []
    for _ in range(50):
        key = f"{rng.choice(['', 'd/'])}d{rng.randrange(20_000)}"
        commands.append(
            rng.choice(
                [
                    ("SET", key, b"v" * rng.choice([1, 100]), "PX", rng.randrange(1, 400)),
                    ("SET", key, b"v", "EX", rng.randrange(1, 1_000_000)),
                    ("PEXPIRE", key, rng.randrange(1, 2_000)),
                    ("EXPIRE", key, rng.randrange(1, 100_000)),
                    ("PERSIST", key),
                    ("GETEX", key, "PX", 50),
                    ("TTL", key),
                    ("DEL", key),
                ]
            )
        )
    client.pipeline(commands)


def collections(client, rng):
    """Every type, small and large, moved, copied, combined and dropped."""
    count = rng.choice([1, 3, 30, 300])
    pick = lambda kind: f"{rng.choice(['', 't/'])}{kind}{rng.randrange(20)}"
    members = [rng.randbytes(rng.choice([3, 8, 60])) for _ in range(count)]
    pairs = [part for member in members for part in (member, member)]
    scored = [part for member in members for part in (rng.random() * 1e6, member)]
    x, y, z = pick("x"), pick("x"), pick("x")
    l, h, s, q = pick("l"), pick("h"), pick("s"), pick("z")
    commands = [
        rng.choice([("RPUSH", l, *members), ("LPUSH", l, *members), ("LPOP", l, count), ("RPOP", l)]),
        rng.choice([("LINSERT", l, "BEFORE", members[0], b"new"), ("LTRIM", l, 5, -5), ("LRANGE", l, 0, 50)]),
        ("LMOVE", l, pick("l"), "LEFT", "RIGHT"),
        rng.choice([("HSET", h, *pairs), ("HDEL", h, *members), ("HGETALL", h), ("HSCAN", h, 0)]),
        rng.choice([("HINCRBY", h, b"counter", 1), ("HRANDFIELD", h, 20)]),
        rng.choice([("SADD", s, *members), ("SREM", s, *members), ("SPOP", s, count), ("SMEMBERS", s)]),
        rng.choice([("SUNIONSTORE", x, s, pick("s")), ("SINTERSTORE", x, s, pick("s")), ("SMOVE", s, pick("s"), members[0])]),
        rng.choice([("ZADD", q, *scored), ("ZREM", q, *members), ("ZPOPMIN", q, count)]),
        rng.choice([("ZRANGE", q, 0, 100, "WITHSCORES"), ("ZRANK", q, members[0]), ("ZINCRBY", q, 3, members[0])]),
        rng.choice([("ZREMRANGEBYRANK", q, 0, count), ("ZRANGEBYSCORE", q, 0, 1e5), ("ZUNIONSTORE", x, 2, q, pick("z"))]),
        rng.choice([("COPY", rng.choice([l, h, s, q]), y, "REPLACE"), ("RENAME", y, z), ("DEL", x), ("UNLINK", z)]),
        rng.choice([("DEL", rng.choice([l, h, s, q])), ("EXPIRE", l, 1), ("SORT", s, "ALPHA", "STORE", x), ("TYPE", x)]),
    ]
    client.pipeline(commands)


def transactions(client, rng):
    """WATCH and EXEC over a few keys that everybody wants."""
    keys = [f"m{rng.randrange(30)}" for _ in range(4)]
    client.pipeline(
        [
            ("WATCH", keys[0], "missing"),
            ("GET", keys[0]),
            ("MULTI",),
            ("SET", keys[1], rng.randbytes(rng.choice([10, 3_000]))),
            ("LPUSH", f"ml{keys[2]}", *keys),
            ("RENAME", keys[1], keys[3]),
            ("DEL", keys[2]),
            ("INCR", "transactions"),
            ("EXEC",),
        ]
    )


def tenants(client, rng):
    """Namespaces that come and go, some of them with deadlines that outlive them."""
    first = rng.randrange(TENANTS)
    names = [f"tenant{(first + at) % TENANTS}" for at in range(200)]
    client.pipeline([("SET", f"{name}/k", b"v", "EX", 100_000) for name in names])
    client.pipeline([("SADD", f"{name}/s", b"a", b"b") for name in names[::3]])
    client.pipeline([("DEL", f"{name}/k", f"{name}/s") for name in names if rng.random() < 0.95])


def flushes(client, rng):
    """Flushes, alone and in transactions that write on."""
    time.sleep(rng.random() / 2)
    client.pipeline(
        rng.choice(
            [
                [("FLUSHALL",)],
                [("FLUSHDB", "ASYNC")],
                [("NAMESPACE", "FLUSH", rng.choice(["a", "t", "d"]))],
                [("MULTI",), ("FLUSHALL",), ("SET", "k", "v"), ("INCR", "c"), ("EXEC",)],
                [
                    ("MULTI",),
                    ("RPUSH", "l0", *range(100)),
                    (rng.choice(["FLUSHALL", "FLUSHDB"]),),
                    ("MSET", "k0", rng.randbytes(300_000), "k1", rng.randbytes(300_000)),
                    rng.choice([("INCR", "c"), ("ZADD", "z0", 1, "a", 2, "b")]),
                    ("EXEC",),
                ],
            ]
        )
    )


def snapshots(client, rng):
    """One snapshot after the other, beside readers that walk everything."""
    client.run("BGSAVE")
    cursor = b"0"
    for _ in range(rng.randrange(200)):
        cursor, _ = client.run("SCAN", cursor, "COUNT", 100)
    client.pipeline([("RANDOMKEY",), ("DBSIZE",), ("INFO",), ("NAMESPACE", "LIST", "tenant1*")])
    time.sleep(0.05)


def limits(client, rng):
    """The limit, the policies and the quotas, up and down."""
    time.sleep(rng.random() * 2)
    client.pipeline(
        [
            ("CONFIG", "SET", "maxmemory", rng.choice(["1mb", "4mb", "16mb", "64mb", "256mb"])),
            ("CONFIG", "SET", "maxmemory-policy", rng.choice(["allkeys-lru", "allkeys-lru", "mru", "ear", "noeviction"])),
            ("NAMESPACE", "SET", rng.choice("abct"), "LIMIT", rng.choice([0, 50_000, 5_000_000])),
            ("NAMESPACE", "SET", rng.choice("abct"), "POLICY", rng.choice(["default", "lru", "none"])),
        ]
    )


def deserted_tenants(client, rng):
    """Tenants that left before their deadlines, then others in their place, then a limit far below what is held."""
    client.pipeline([("CONFIG", "SET", "maxmemory", "512mb"), ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")])
    names = [f"gone{at}/k" for at in range(3_000)]
    client.pipeline([("SET", name, b"v", "EX", 100_000) for name in names])
    client.pipeline([("DEL", name) for name in names])
    time.sleep(3)
    for start in range(0, 60_000, 1_000):
        client.pipeline([("SET", f"after{at}", rng.randbytes(64)) for at in range(start, start + 1_000)])
    client.run("CONFIG", "SET", "maxmemory", "1mb")
    time.sleep(3)


# What runs, and on how many connections.
LOADS = [
    (strings, 3),
    (deadlines, 2),
    (collections, 3),
    (transactions, 2),
    (tenants, 2),
    (flushes, 1),
    (snapshots, 1),
    (limits, 1),
]


class Run:
    """A server, its clients, and what went wrong."""

    def __init__(self, binary, seed, folder):
        self.seed, self.log, self.problems = seed, folder / "log", []
        self.rounds = {}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        leaks = os.environ.get("ASAN_LEAKS", "0")
        environment = dict(
            os.environ,
            ASAN_OPTIONS=f"exitcode=99:detect_leaks={leaks}:allocator_may_return_null=1",
            KVNS_HOST="127.0.0.1",
            KVNS_PORT=str(self.port),
            KVNS_METRICS_HOST="127.0.0.1",
            KVNS_METRICS_PORT="0",
            KVNS_PERSIST_PATH=str(folder / "snapshot"),
            KVNS_PERSIST_INTERVAL="0",
            KVNS_WORKERS="4",
        )
        with self.log.open("wb") as log:
            self.server = subprocess.Popen([binary], env=environment, stdout=log, stderr=log)

    def start(self):
        for _ in range(PATIENCE * 10):
            try:
                return Client(self.port)
            except OSError:
                time.sleep(0.1)
        raise SystemExit("asan: the server does not start: " + self.log.read_text())

    def has_failed(self):
        return bool(self.problems) or self.server.poll() is not None

    def work(self, load, number, end):
        name = f"{load.__name__} {number}"
        rng = random.Random(f"{self.seed} {name}")
        try:
            client = Client(self.port)
            while time.monotonic() < end and not self.has_failed():
                load(client, rng)
                self.rounds[name] = self.rounds.get(name, 0) + 1
        except TimeoutError:
            self.problems.append(f"{name}: no reply within {PATIENCE} s")
        except OSError as error:
            self.problems.append(f"{name}: {error}")

    def together(self, loads, seconds):
        """Runs the loads beside each other for so long."""
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self.work, args=(load, number, end), daemon=True)
            for load, count in loads
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 2 * PATIENCE)
            if thread.is_alive():
                self.problems.append("a client hangs")
                return

    def stop(self):
        """Ends the server, which ends by itself and well."""
        if self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(2 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.problems.append("the server does not stop")
                self.server.kill()
                self.server.wait()
        if self.server.returncode != 0:
            self.problems.append(f"the server ended with {self.server.returncode}")
        log = self.log.read_bytes()
        reports = [report for report in REPORTS if report in log]
        if reports:
            start = min(log.index(report) for report in reports)
            # The symbolizer complains of the standard library's debug information.
            lines = log[start:].decode(errors="replace").splitlines()
            told = [line for line in lines if not line.startswith("error: address range table")]
            self.problems.append("\n".join(told[:120]))


def main():
    binary, minutes = sys.argv[1], float(sys.argv[2])
    seed = sys.argv[3] if len(sys.argv) > 3 else str(random.randrange(1 << 32))
    print(f"asan: {minutes:g} minutes with seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kvns-asan-") as folder:
        run = Run(binary, seed, Path(folder))
        end = time.monotonic() + minutes * 60
        run.start()
        # The quiet one first: beside the others its chunks are soon taken again.
        run.together([(deserted_tenants, 1)], 1)
        while time.monotonic() < end and not run.has_failed():
            run.together(LOADS, min(120, max(1, end - time.monotonic())))
            if not run.has_failed():
                run.together([(deserted_tenants, 1)], 1)
        run.stop()
    rounds = {}
    for name, count in run.rounds.items():
        load = name.split()[0]
        rounds[load] = rounds.get(load, 0) + count
    print("asan: rounds:", ", ".join(f"{load} {count}" for load, count in rounds.items()))
    for problem in run.problems:
        print(f"asan: {problem}", file=sys.stderr)
    if run.problems:
        raise SystemExit(f"asan: FAILED with seed {seed}")
    print("asan: ok")


if __name__ == "__main__":
    main()
