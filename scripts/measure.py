#!/usr/bin/env python3
"""measure.py BINARY [redis-server]: what the keyspace promises beside raw speed, measured on a server of its own.

Prints a Markdown table: allocator bytes per key, the CPU cost of MSET against SET, two clients on one hot counter,
the cost of SCAN pages and of KEYS in a small namespace, and what an expiry storm does to another client. Figures
are the server's own CPU time (utime + stime of /proc/PID/stat) unless they say otherwise. Loads only loopback.
"""
import os
import socket
import subprocess
import sys
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
KEYS = 1_000_000


class Client:
    """A blocking RESP2 client for commands with replies of any shape."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 20)

    def __call__(self, *args):
        self.socket.sendall(encode(args))
        return self.read()

    def pipeline(self, commands):
        self.socket.sendall(b"".join(map(encode, commands)))
        return [self.read() for _ in commands]

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest


def encode(args):
    parts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Server:
    """A server process on a free port; killed by its own pid."""

    def __init__(self, binary):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = {"KVNS_HOST": "127.0.0.1", "KVNS_PORT": str(self.port), "KVNS_METRICS_PORT": "0",
                    "KVNS_MEMORY_LIMIT": "0", "KVNS_LOG": "warn"}
        command = [binary]
        if "redis" in os.path.basename(binary):
            command += ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{binary} does not answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def cpu_us(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK * 1e6

    def used_memory(self):
        info = Client(self.port)("INFO", "memory").decode()
        return int(next(line.split(":")[1] for line in info.splitlines() if line.startswith("used_memory:")))


def fill(client, keys, name=lambda i: f"key:{i:012}", extra=()):
    value = b"v" * 32
    for start in range(0, keys, 1000):
        client.pipeline([("SET", name(i), value, *extra) for i in range(start, min(start + 1000, keys))])


def benchmark(server, requests, pipeline, *command, clients=50):
    """CPU microseconds per request, and requests per second, of redis-benchmark."""
    before, start = server.cpu_us(), time.monotonic()
    subprocess.run(["redis-benchmark", "-p", str(server.port), "-n", str(requests), "-r", str(KEYS), "-q",
                    "-c", str(clients), "-P", str(pipeline), *command], check=True, stdout=subprocess.DEVNULL)
    return (server.cpu_us() - before) / requests, requests / (time.monotonic() - start)


def memory(server):
    before = server.used_memory()
    fill(Client(server.port), KEYS)
    time.sleep(1)
    return (server.used_memory() - before) / KEYS


def mset_against_sets(server):
    value = "v" * 32
    sets, _ = benchmark(server, 2_000_000, 10, "SET", "key:__rand_int__", value)
    msets, _ = benchmark(server, 200_000, 1, "MSET", *["key:__rand_int__", value] * 10)
    piped, _ = benchmark(server, 200_000, 10, "MSET", *["key:__rand_int__", value] * 10)
    return sets * 10, msets, piped


def hot_counter(server):
    _, one = benchmark(server, 1_000_000, 100, "INCR", "hot", clients=1)
    _, two = benchmark(server, 2_000_000, 100, "INCR", "hot", clients=2)
    return two / one


def scan_pages(server):
    """CPU microseconds of a page of COUNT 10, how many keys came, and the longest page as the client saw it."""
    client, stop = Client(server.port), threading.Event()

    def write():
        other, i = Client(server.port), 0
        while not stop.is_set():
            other.pipeline([("SET", f"churn:{(i + j) % 5000}", "v") for j in range(20)])
            other.pipeline([("DEL", f"churn:{(i * 3 + j) % 5000}") for j in range(20)])
            i += 20

    seen, cursor, pages, slowest = set(), b"0", 0, 0.0
    before = server.cpu_us()
    while True:
        start = time.monotonic()
        cursor, names = client("SCAN", cursor, "COUNT", "10")
        slowest = max(slowest, time.monotonic() - start)
        pages += 1
        if cursor == b"0":
            break
    cost = (server.cpu_us() - before) / pages
    writer = threading.Thread(target=write)
    writer.start()
    while True:
        cursor, names = client("SCAN", cursor, "COUNT", "1000")
        seen.update(name for name in names if name.startswith(b"key:"))
        if cursor == b"0":
            break
    stop.set()
    writer.join()
    return cost, len(seen), slowest * 1e3


def keys_in_namespace(server):
    client = Client(server.port)
    fill(client, 1000, lambda i: f"small/{i}")
    times = []
    for _ in range(20):
        start = time.monotonic()
        found = client("KEYS", "small/*")
        times.append(time.monotonic() - start)
        assert len(found) == 1000
    return sorted(times)[10] * 1e3, max(times) * 1e3


def expiry_storm(server):
    """Seconds until 1M keys of one deadline are gone, and the slowest GET of another client meanwhile."""
    client, slowest, stop = Client(server.port), [0.0], threading.Event()
    client("FLUSHALL")
    deadline = int(time.time() * 1000) + 30_000
    fill(client, KEYS, extra=("PXAT", deadline))
    client("SET", "other", "v")
    time.sleep(max(0, deadline / 1000 - time.time() - 0.5))

    def read():
        other = Client(server.port)
        while not stop.is_set():
            start = time.monotonic()
            other("GET", "other")
            slowest[0] = max(slowest[0], time.monotonic() - start)

    reader = threading.Thread(target=read)
    reader.start()
    while client("DBSIZE") > 1 and time.time() < deadline / 1000 + 60:
        time.sleep(0.005)
    gone = time.time() - deadline / 1000
    time.sleep(1)
    stop.set()
    reader.join()
    return gone, slowest[0] * 1e3


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    rows = {}
    for binary in sys.argv[1:]:
        with Server(binary) as server:
            column = [f"{memory(server):.1f}"]
            sets, mset, piped = mset_against_sets(server)
            column += [f"{sets:.2f}", f"{mset:.2f}", f"{piped:.2f} ({piped / sets:.2f}x)"]
            column += [f"{hot_counter(server):.2f}"]
            cost, found, slowest = scan_pages(server)
            column += [f"{cost:.1f}", f"{found}", f"{slowest:.2f}"]
            median, worst = keys_in_namespace(server)
            column += [f"{median:.2f} / {worst:.2f}"]
            gone, slow = expiry_storm(server)
            column += [f"{gone:.2f}", f"{slow:.2f}"]
            rows[os.path.basename(binary)] = column
    titles = ["allocator bytes per key (1M of 16+32 bytes)", "CPU us of ten SETs, P=10", "CPU us of MSET of 10, P=1",
              "CPU us of MSET of 10, P=10 (against ten SETs)", "INCR of one key: two clients / one, P=100",
              "CPU us of SCAN COUNT 10 over 1M", "keys found by SCAN under writes", "slowest SCAN page, ms",
              "KEYS small/* of 1,000 among 1M, ms (median / worst)", "1M keys of one deadline gone after, s",
              "slowest GET meanwhile, ms"]
    print("| |", " | ".join(rows), "|\n|---|" + "---|" * len(rows))
    for i, title in enumerate(titles):
        print(f"| {title} |", " | ".join(column[i] for column in rows.values()), "|")


if __name__ == "__main__":
    main()
