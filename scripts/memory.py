#!/usr/bin/env python3
"""memory.py BINARY [redis-server]: what the memory limit promises, measured on servers of its own.

Prints Markdown tables: what is accounted against what the allocator holds, for each type; the allocator under 8
writers and a small limit, for each policy; hit ratios of a cache of a tenth of the keys. KEYS, SECONDS and DRAWS
in the environment make it shorter.
"""
import itertools
import os
import random
import sys
import threading
import time

from measure import Client, Server

KEYS = int(os.environ.get("KEYS", 1_000_000))
SECONDS = float(os.environ.get("SECONDS", 60))
DRAWS = int(os.environ.get("DRAWS", 400_000))
STEP = 500


def start(binary):
    server = Server(binary)
    server.client = Client(server.port)
    return server


def stop(server):
    server.__exit__()


def figures(client, section="memory"):
    text = client("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def settled(client, name="used_memory"):
    """The figure once it has come to rest."""
    last = None
    for _ in range(100):
        time.sleep(0.3)
        now = int(figures(client)[name])
        if last is not None and abs(now - last) < max(now // 1000, 4096):
            return now
        last = now
    return last


def send(client, commands):
    batch = []
    for command in commands:
        batch.append(command)
        if len(batch) == STEP:
            client.pipeline(batch)
            batch.clear()
    if batch:
        client.pipeline(batch)


LOADS = {
    "string, 16+32 bytes": lambda n: (("SET", "key:%012d" % i, b"v" * 32) for i in range(n)),
    "string, 256 bytes": lambda n: (("SET", "key:%012d" % i, b"v" * 256) for i in range(n)),
    "integer with a deadline": lambda n: (("SET", "key:%012d" % i, i, "EX", 86400 + i % 86400) for i in range(n)),
    "one list": lambda n: (("RPUSH", "list", b"%032d" % i) for i in range(n)),
    "one hash": lambda n: (("HSET", "hash", b"field:%010d" % i, b"v" * 32) for i in range(n)),
    "one set": lambda n: (("SADD", "set", b"member:%09d" % i) for i in range(n)),
    "one sorted set": lambda n: (("ZADD", "zset", i * 7919 % n, b"member:%09d" % i) for i in range(n)),
    "small hashes of 10": lambda n: (("HSET", "h:%d" % (i // 10), "field%d" % (i % 10), b"v" * 16) for i in range(n)),
    "mixed": lambda n: itertools.chain.from_iterable(
        (("SET", "ns%d/s:%d" % (i % 50, i), b"v" * (i % 400)), ("HSET", "ns%d/h:%d" % (i % 50, i // 20), i, b"v" * 20),
         ("RPUSH", "l:%d" % (i // 100), i), ("SADD", "t:%d" % (i // 50), i), ("ZADD", "z:%d" % (i // 200), i, i))
        for i in range(n // 5)),
}


def accounting(binary):
    print("| load of %d | accounted | allocator | apart | after half is deleted | after FLUSHALL | RSS then |" % KEYS)
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, load in LOADS.items():
        server = start(binary)
        client = server.client
        empty, rss = settled(client), settled(client, "used_memory_rss")

        def compare():
            allocated = settled(client) - empty
            accounted = int(figures(client)["used_memory_dataset"])
            return accounted, allocated, 100 * (accounted - allocated) / max(allocated, 1)

        send(client, load(KEYS))
        accounted, allocated, apart = compare()
        peak = int(figures(client)["used_memory_rss"])
        if client("DBSIZE") > 1:
            cursor = b"0"
            while True:
                cursor, keys = client("SCAN", cursor, "COUNT", 1000)
                send(client, (("DEL", key) for key in keys if hash(key) % 2))
                if cursor == b"0":
                    break
        else:
            halves = {"one list": lambda i: ("RPOP", "list"), "one hash": lambda i: ("HDEL", "hash", b"field:%010d" % i),
                      "one set": lambda i: ("SREM", "set", b"member:%09d" % i),
                      "one sorted set": lambda i: ("ZREM", "zset", b"member:%09d" % i)}
            send(client, (halves[name](i) for i in range(0, KEYS, 2)))
        after = compare()[2]
        client("FLUSHALL")
        time.sleep(12)
        left = settled(client) - empty
        print("| %s | %.1f MB | %.1f MB | %+.1f%% | %+.1f%% | %.1f MB | %.0f MB, %.0f before, %.0f full |" % (
            name, accounted / 1e6, allocated / 1e6, apart, after, left / 1e6,
            int(figures(client)["used_memory_rss"]) / 1e6, rss / 1e6, peak / 1e6), flush=True)
        stop(server)


def limit(binary):
    """8 writers over KEYS keys under 256 MiB; namespace b is filled before and never written again."""
    bound = 256 << 20
    print("\n| policy | writes/s | refused | most allocated | of the limit | p99.9 of a batch of 50 | evicted | keys of b lost | writes lost |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for policy, limited in (("lru", False), ("lru", True), ("mru", True), ("ear", True), ("none", True)):
        server = start(binary)
        admin = server.client
        admin("CONFIG", "SET", "maxmemory-policy", policy)
        if limited:
            admin("CONFIG", "SET", "maxmemory", bound)
        send(admin, (("SET", "b/%d" % i, b"b" * 100) for i in range(20_000)))
        admin("NAMESPACE", "SET", "b", "POLICY", "lru")
        ends = time.time() + SECONDS
        written, refused, latencies, acknowledged = [0], [0], [], [dict() for _ in range(8)]

        def write(number):
            client, draw = Client(server.port), random.Random(number)
            while time.time() < ends:
                keys = ["a/%d:%d" % (number, draw.randrange(KEYS // 8)) for _ in range(50)]
                stamp = b"%d" % draw.randrange(1 << 60)
                value = stamp + b"v" * draw.randrange(1000)
                began = time.perf_counter()
                client.socket.sendall(b"".join(encode_set(key, value) for key in keys))
                for key in keys:
                    try:
                        client.read()
                        written[0] += 1
                        acknowledged[number][key] = stamp
                    except RuntimeError as error:
                        assert str(error).startswith("OOM "), error
                        refused[0] += 1
                latencies.append(time.perf_counter() - began)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        [writer.start() for writer in writers]
        most = 0
        while any(writer.is_alive() for writer in writers):
            most = max(most, int(figures(admin)["used_memory"]))
            time.sleep(0.02)
        lost = 0
        if policy == "none":
            for number in range(8):
                pairs = list(acknowledged[number].items())
                for at in range(0, len(pairs), STEP):
                    part = pairs[at:at + STEP]
                    values = admin("MGET", *(key for key, _ in part))
                    lost += sum(value is None or not value.startswith(stamp) for value, (_, stamp) in zip(values, part))
        latencies.sort()
        gone = 20_000 - admin("NAMESPACE", "STATS", "b")[1]
        evicted = int(figures(admin, "stats")["evicted_keys"]) + int(figures(admin, "stats")["ear_evicted_keys"])
        print("| %s%s | %.0f | %d | %.1f MB | %.1f%% | %.1f ms | %d | %d | %s |" % (
            policy, "" if limited else ", no limit", written[0] / SECONDS, refused[0], most / 1e6, 100 * most / bound,
            1e3 * latencies[int(len(latencies) * 0.999)], evicted, gone, lost if policy == "none" else ""), flush=True)
        stop(server)


def encode_set(key, value):
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key.encode(), len(value), value)


def zipf(keys, draws):
    weights = list(itertools.accumulate(1 / (rank + 1) ** 0.99 for rank in range(keys)))
    places = list(range(keys))
    random.Random(1).shuffle(places)
    return [places[at] for at in random.Random(2).choices(range(keys), cum_weights=weights, k=draws)]


def circle(keys, draws):
    return [at % keys for at in range(draws)]


def scanned(keys, draws):
    """Zipf, and a scan of everything beside it."""
    return [key for pair in zip(zipf(keys, draws // 2), circle(keys, draws // 2)) for key in pair]


def hits(server, trace, room):
    client = server.client
    found = 0
    value = b"v" * 100
    for at in range(0, len(trace), 50):
        part = trace[at:at + 50]
        replies = client.pipeline([("GET", "c/%08d" % key) for key in part])
        missing = {key for key, reply in zip(part, replies) if reply is None}
        found += len(part) - sum(reply is None for reply in replies)
        if missing:
            client.pipeline([("SET", "c/%08d" % key, value) for key in missing])
    return 100 * found / len(trace), client("DBSIZE") / room


def ratios(binary, redis):
    keys = 100_000
    room = keys // 10
    print("\n| trace | kvns lru | its keys | redis allkeys-lfu | its keys | redis allkeys-lru |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, trace in (("zipf 0.99", zipf(keys, DRAWS)), ("circle", circle(keys, DRAWS)),
                        ("zipf and a scan", scanned(keys, DRAWS))):
        cells = []
        fill = [("SET", "c/%08d" % (keys + i), b"v" * 100) for i in range(room)]
        server = start(binary)
        send(server.client, fill)
        bytes_ = dict(zip(*[iter(server.client("NAMESPACE", "STATS", "c"))] * 2))[b"bytes"]
        server.client("NAMESPACE", "SET", "c", "POLICY", "lru", "LIMIT", bytes_)
        server.client("NAMESPACE", "FLUSH", "c")
        cells += ["%.2f%%" % (result := hits(server, trace, room))[0], "%.2f of the room" % result[1]]
        stop(server)
        for policy in ("allkeys-lfu", "allkeys-lru") if redis else ():
            server = start(redis)
            send(server.client, fill)
            server.client("CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", int(figures(server.client)["used_memory"]))
            for at in range(0, room, STEP):
                server.client("DEL", *(command[1] for command in fill[at:at + STEP]))
            cells += ["%.2f%%" % (result := hits(server, trace, room))[0]]
            if policy == "allkeys-lfu":
                cells += ["%.2f of the room" % result[1]]
            stop(server)
        print("| %s | %s |" % (name, " | ".join(cells)), flush=True)


if __name__ == "__main__":
    wanted = sys.argv[3:] or ["accounting", "limit", "ratios"]
    if "accounting" in wanted:
        accounting(sys.argv[1])
    if "limit" in wanted:
        limit(sys.argv[1])
    if "ratios" in wanted:
        ratios(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
