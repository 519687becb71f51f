#!/usr/bin/env python3
"""hostile.py [--check] [--quick] SERVER [SERVER ...]: what hostile, slow and greedy clients do to a server and to its other clients.

Each SERVER is a binary; one whose name has "redis" or "valkey" in it is started as such. Every row has a server of its
own, with a memory limit of 256 MB, and loads it over loopback. Prints one Markdown table: for each server and row
whether all was answered or closed with a reason, the slowest GET or SET of a bystander, and the peak of its memory.

With --check it fails where a kvns does not hold: a client left hanging, memory beyond the limit by a fifth and 32 MB, a
probe without an answer. The bystander's times are shown, not judged: a busy machine makes them, too. With --quick only the
rows run whose verdict does not depend on how fast the machine is.
"""
import argparse
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

from measure import Client, encode

LIMIT = 256 << 20
# What a row may take, in seconds.
PATIENCE = 60


class Server:
    """A server process with a limit, and what it takes of memory at the most."""

    def __init__(self, binary, limit=LIMIT, descriptors=None, settings=()):
        self.is_kvns = not any(name in os.path.basename(binary) for name in ("redis", "valkey"))
        self.port, self.metrics = free_port(), free_port()
        command = [binary]
        if not self.is_kvns:
            command += ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--maxmemory", str(limit)]
        variables = {"KVNS_HOST": "127.0.0.1", "KVNS_PORT": str(self.port), "KVNS_METRICS_HOST": "127.0.0.1",
                     "KVNS_METRICS_PORT": str(self.metrics), "KVNS_MEMORY_LIMIT": str(limit), "KVNS_LOG": "error"}
        before = None
        if descriptors:
            import resource
            before = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        self.process = subprocess.Popen(command, env=os.environ | variables | dict(settings), preexec_fn=before,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.02)
        else:
            raise SystemExit(f"{binary} does not answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def client(self):
        return Client(self.port)

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def status(self, field):
        if self.process.poll() is None:
            for line in open(f"/proc/{self.process.pid}/status"):
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
        return 0

    def peak(self):
        return self.status("VmHWM")

    def get(self, path, timeout=5):
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=timeout)
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bystander:
    """Another client: its slowest GET or SET, one at a time, in milliseconds."""

    def __init__(self, server):
        self.client, self.slowest, self.refused = server.client(), 0.0, 0
        self.is_over = threading.Event()
        self.client("SET", "bystander", "v")
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.is_over.is_set():
            for command in (("GET", "bystander"), ("SET", "bystander", "v")):
                begun = time.monotonic()
                try:
                    self.client(*command)
                except (RuntimeError, OSError, ValueError):
                    self.refused += 1
                self.slowest = max(self.slowest, (time.monotonic() - begun) * 1000)
            time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def lines_of(sock, wanted, seconds=PATIENCE):
    """Reads until so many line ends have come, or the socket ends or times out. Returns how many came."""
    seen, end = 0, time.monotonic() + seconds
    while seen < wanted and time.monotonic() < end:
        ready, _, _ = select.select([sock], [], [], 1)
        if ready:
            try:
                data = sock.recv(1 << 20)
            except OSError:
                return seen
            if not data:
                return seen
            seen += data.count(b"\n")
    return seen


def write_all_then_read(server, commands, lines):
    """A pipeline that is written whole before anything of it is read."""
    sock = server.connect()
    sock.settimeout(PATIENCE)
    try:
        sock.sendall(commands)
    except OSError as error:
        return f"write: {error}"
    came = lines_of(sock, lines)
    return "" if came == lines else f"{came} of {lines} lines"


# Rows: each returns what went wrong, or nothing.

def pipeline_written_whole(server):
    return write_all_then_read(server, b"PING\r\n" * 1_000_000, 1_000_000)


def large_replies_written_whole(server):
    server.client()("SET", "value", b"x" * 1000)
    return write_all_then_read(server, encode(("GET", "value")) * 200_000, 400_000)


def silent_readers(server):
    """Clients that send and never read: the others are served, and the memory comes back."""
    server.client()("SET", "value", b"x" * 1000)
    socks = [server.connect() for _ in range(1000)]
    batch = encode(("GET", "value")) * 200
    for sock in socks:
        sock.setblocking(False)
    for _ in range(20):
        for sock in socks:
            try:
                sock.send(batch)
            except OSError:
                pass
    server.client()("PING")
    held = server.status("VmRSS")
    for sock in socks:
        sock.close()
    for _ in range(100):
        if server.status("VmRSS") < 32 << 20 or server.status("VmRSS") < held / 2 + (16 << 20):
            return ""
        time.sleep(0.1)
    return f"{server.status('VmRSS') >> 20} MB after they left"


def many_arguments(server):
    """A request beyond the limit on arguments is answered, and the connection goes on."""
    client = server.client()
    try:
        client("SADD", "s", *range(3000))
    except RuntimeError as error:
        if "KVNS_MAX_RESP_ARGS" not in str(error):
            return str(error)
    except OSError as error:
        return str(error)
    try:
        return "" if client("PING") == b"PONG" else "no PONG"
    except OSError as error:
        return f"closed: {error}"


def few_descriptors(server):
    """With 200 descriptors: who is served is served, the others are told, SAVE and probes work."""
    socks, told = [], 0
    for _ in range(300):
        sock = server.connect()
        sock.settimeout(2)
        try:
            sock.sendall(b"PING\r\n")
            answer = sock.recv(100)
        except OSError as error:
            return f"a client hangs: {error}"
        told += answer.startswith(b"-") or not answer
        socks.append(sock)
    if told == 0:
        return "nobody was turned away"
    if server.is_kvns and server.get("/healthz") != 200:
        return "/healthz"
    return ""


def silent_probes(server):
    """Silent HTTP connections keep no probe from its answer."""
    if not server.is_kvns:
        return ""
    socks = [socket.create_connection(("127.0.0.1", server.metrics)) for _ in range(40)]
    try:
        for path in ("/healthz", "/readyz"):
            if server.get(path) != 200:
                return path
    except OSError as error:
        return str(error)
    finally:
        for sock in socks:
            sock.close()
    return ""


def half_sent(server):
    """Arguments of 16 MB that arrive but for their end."""
    socks, part = [], b"x" * (1 << 20)
    for _ in range(100):
        sock = server.connect()
        sock.setblocking(False)
        socks.append(sock)
        try:
            sock.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$16777216\r\n")
        except OSError:
            pass
    for _ in range(15):
        for sock in socks:
            try:
                sock.send(part)
            except OSError:
                pass
        time.sleep(0.02)
    server.client()("SET", "b", "1")
    return ""


def large_names(server):
    client = server.client()
    refused = 0
    for n in range(50):
        try:
            other = server.client()
            other("CLIENT", "SETNAME", b"n" * (16 << 20 if n else 1 << 20))
        except (RuntimeError, OSError):
            refused += 1
    client("PING")
    return ""


def many_copies_of_a_field(server):
    client = server.client()
    client("HSET", "h", "f", b"x" * (16 << 20))
    sock = server.connect()
    sock.sendall(encode(("HMGET", "h", *["f"] * 1000)))
    time.sleep(3)
    client("PING")
    sock.close()
    return ""


def transaction_of_large_reads(server):
    client = server.client()
    client("RPUSH", "l", b"x" * (4 << 20))
    sock = server.connect()
    sock.sendall(b"MULTI\r\n" + encode(("LINDEX", "l", 0)) * 1000 + b"EXEC\r\n")
    time.sleep(3)
    client("PING")
    sock.close()
    return ""


def fill(server, count):
    client = server.client()
    for start in range(0, count, 1000):
        client.pipeline([("SET", f"key:{n:012}", b"v" * 32) for n in range(start, start + 1000)])


def long_walks_beside_writers(server):
    """KEYS with a costly pattern and DEBUG DIGEST beside a writer that overwrites."""
    fill(server, 300_000)
    over, failed = threading.Event(), []

    def write():
        client = server.client()
        while not over.is_set():
            try:
                client.pipeline([("SET", f"key:{n:012}", b"w" * 32) for n in range(1000)])
            except (RuntimeError, OSError) as error:
                failed.append(str(error))
                return
    writers = [threading.Thread(target=write) for _ in range(2)]
    [writer.start() for writer in writers]
    client = server.client()
    for _ in range(3):
        client("KEYS", "*" + "?*" * 40 + "x")
        client("DEBUG", "DIGEST") if server.is_kvns else None
    over.set()
    [writer.join() for writer in writers]
    return failed[0] if failed else ""


def set_algebra(server):
    client = server.client()
    for start in range(0, 300_000, 1000):
        client("ZADD", "z", *[word for n in range(start, start + 500) for word in (n, f"member:{n}")])
        client("RPUSH", "l", *range(start, start + 1000))
    for _ in range(5):
        client("ZUNIONSTORE", "u", 2, "z", "z")
        client("SORT", "l", "STORE", "sorted")
    return ""


def hostile_patterns(server):
    """A pattern that backtracks, and many of them."""
    sock = server.connect()
    sock.sendall(encode(("PSUBSCRIBE", b"*" + b"a*" * 1000 + b"b")))
    client = server.client()
    for _ in range(2):
        client("PUBLISH", b"a" * 600_000, "m")
    for start in range(0, 100_000, 500):
        sock.sendall(encode(("PSUBSCRIBE", *[f"news:{n}:*" for n in range(start, start + 500)])))
    for n in range(20):
        client("PUBLISH", f"news:{n}:x", "m")
    sock.close()
    return ""


def pipelined_info(server):
    return in_parallel(server, 4, encode(("INFO",)) * 2000)


def pipelined_ranges(server):
    client = server.client()
    client.pipeline([("RPUSH", "l", *range(n, n + 500)) for n in range(0, 4000, 500)])
    return in_parallel(server, 4, encode(("LRANGE", "l", 0, -1)) * 300)


def in_parallel(server, many, commands):
    """Clients that pipeline and read what comes, for three seconds."""
    end = time.monotonic() + 3

    def load():
        sock = server.connect()
        sock.setblocking(False)
        left = commands
        while time.monotonic() < end:
            readable, writable, _ = select.select([sock], [sock] if left else [], [], 0.1)
            try:
                if writable:
                    left = left[sock.send(left[:1 << 16]):]
                if readable and not sock.recv(1 << 20):
                    return
            except OSError:
                return
        sock.close()
    loads = [threading.Thread(target=load) for _ in range(many)]
    [thread.start() for thread in loads]
    [thread.join() for thread in loads]
    return ""


def large_transaction(server):
    """An EXEC of a million INCRs on one key."""
    sock = server.connect()
    sock.settimeout(PATIENCE)
    received = threading.Thread(target=lines_of, args=(sock, 2_000_003))
    received.start()
    sock.sendall(b"MULTI\r\n" + b"INCR n\r\n" * 1_000_000 + b"EXEC\r\n")
    received.join()
    return ""


def signals_beside_long_work(server):
    """SIGTERM beside a long KEYS: the server ends in time."""
    fill(server, 200_000)
    sock = server.connect()
    sock.sendall(encode(("KEYS", "*" + "?*" * 60 + "x")))
    time.sleep(0.2)
    begun = time.monotonic()
    if server.is_kvns and server.get("/healthz", 1) != 200:
        return "/healthz"
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(timeout=8)
    except subprocess.TimeoutExpired:
        return "SIGTERM waits"
    return "" if time.monotonic() - begun < 8 else "SIGTERM waits"


# Item, name, function, arguments of the server, whether it is quick.
ROWS = [
    ("A1", "1,000,000 commands written before the first read", pipeline_written_whole, {}, True),
    ("A1", "200,000 GET of 1 kB written before the first read", large_replies_written_whole, {}, True),
    ("A1", "1,000 clients that send and never read", silent_readers, {}, False),
    ("A2", "3,000 arguments", many_arguments, {}, True),
    ("A3", "300 clients, 200 descriptors", few_descriptors, {"descriptors": 200}, True),
    ("A4", "40 silent HTTP connections", silent_probes, {}, True),
    ("B5", "KEYS and DIGEST beside writers", long_walks_beside_writers, {}, False),
    ("B5", "ZUNIONSTORE and SORT", set_algebra, {}, False),
    ("B6", "HMGET of one 16 MB field 1,000 times", many_copies_of_a_field, {}, True),
    ("B6", "EXEC of 1,000 LINDEX of 4 MB", transaction_of_large_reads, {}, True),
    ("B7", "100 half-sent arguments of 16 MB", half_sent, {"limit": 64 << 20}, False),
    ("B7", "50 client names of 16 MB", large_names, {}, False),
    ("C9", "hostile patterns, 100,000 patterns", hostile_patterns, {}, True),
    ("C10", "SIGTERM beside KEYS", signals_beside_long_work, {}, False),
    ("C11", "4 clients pipelining INFO", pipelined_info, {}, False),
    ("C11", "4 clients pipelining LRANGE of 4,000", pipelined_ranges, {}, False),
    ("C12", "EXEC of 1,000,000 INCR", large_transaction, {"limit": 1 << 30}, True),
]


def run(binary, row):
    """One row on one server: a cell of the table, and what is wrong with it."""
    item, name, work, options, _ = row
    limit = options.get("limit", LIMIT)
    with Server(binary, **options) as server:
        with Bystander(server) as bystander:
            begun = time.monotonic()
            try:
                wrong = work(server)
            except (RuntimeError, OSError, ValueError) as error:
                wrong = f"{type(error).__name__}: {error}"
            took = time.monotonic() - begun
            peak = server.peak()
        slowest = bystander.slowest
    if item != "C10" and bystander.refused and not wrong:
        wrong = f"the bystander was refused {bystander.refused} times"
    if server.is_kvns and not wrong:
        most = limit + limit // 5 + (32 << 20)
        # What the share of clients has beyond a tenth of the limit stands beside it.
        most += max(0, 2 * (16 << 20) - limit // 10)
        if peak > most:
            wrong = f"{peak >> 20} MB of {most >> 20}"
    return f"{wrong or 'ok'}; {slowest:.1f} ms; {peak >> 20} MB; {took:.1f} s", wrong if server.is_kvns else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="rows whose item or name has this in it")
    parser.add_argument("servers", nargs="+")
    arguments = parser.parse_args()
    print("| Item | Load | " + " | ".join(os.path.basename(server) for server in arguments.servers) + " |")
    print("| --- | --- |" + " --- |" * len(arguments.servers))
    failed = []
    for row in ROWS:
        if arguments.only not in row[0] + row[1] or (arguments.quick and not row[4]):
            continue
        cells = []
        for server in arguments.servers:
            cell, wrong = run(server, row)
            cells.append(cell)
            if wrong:
                failed.append(f"{row[0]} {row[1]}: {wrong}")
        print(f"| {row[0]} | {row[1]} | " + " | ".join(cells) + " |", flush=True)
    if arguments.check and failed:
        sys.exit("hostile: does not hold:\n" + "\n".join(failed))
    if arguments.check:
        print("hostile: ok")


if __name__ == "__main__":
    main()
