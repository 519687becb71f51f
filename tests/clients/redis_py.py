"""Runs the families built so far through redis-py, with its default settings, in RESP2 and RESP3.

Usage: redis_py.py PORT
"""

import sys

import redis


def strings(r):
    assert r.ping() is True
    assert r.set("k", "v") is True
    assert r.get("k") == b"v"
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", xx=True, get=True) == b"v"
    assert r.set("t", "v", ex=1000) is True and 990 < r.ttl("t") <= 1000
    assert r.set("t", "v", keepttl=True) is True and r.ttl("t") > 0
    assert r.mset({"a": 1, "b": 2}) is True
    assert r.mget("a", "b", "nosuch") == [b"1", b"2", None]
    assert r.msetnx({"a": 1, "z": 2}) is False
    assert r.setnx("a", 5) is False
    assert r.getset("a", 10) == b"1"
    assert r.incr("a") == 11 and r.incrby("a", 9) == 20 and r.decr("a", 5) == 15
    assert r.incrbyfloat("a", 0.5) == 15.5
    assert r.append("k", "x") == 2 and r.strlen("k") == 2
    assert r.setrange("k", 5, "end") == 8 and r.getrange("k", 0, 1) == b"wx"
    assert r.getdel("k") == b"wx\x00\x00\x00end" and r.get("k") is None
    assert r.getex("b", ex=100) == b"2" and r.ttl("b") > 0
    assert r.execute_command("SETEX", "s", 100, "v") in (True, b"OK")
    r.mset({"x": "ohmytext", "y": "mynewtext"})
    assert r.lcs("x", "y") == b"mytext" and r.lcs("x", "y", len=True) == 6
    binary = bytes(range(256))
    assert r.set(binary, binary) and r.get(binary) == binary
    try:
        r.incr("x")
        raise AssertionError("INCR of a text is an error")
    except redis.ResponseError as error:
        assert "not an integer" in str(error)


def keys(r):
    r.flushall()
    r.mset({f"ns/{n}": n for n in range(500)})
    assert sorted(r.scan_iter(count=10)) == sorted(f"ns/{n}".encode() for n in range(500))
    assert len(list(r.scan_iter(match="ns/1*", count=100))) == 111
    assert len(r.keys("ns/4?")) == 10
    assert r.dbsize() == 500 and r.exists("ns/1", "ns/2", "nosuch") == 2
    assert r.delete("ns/1", "ns/2") == 2 and r.unlink("ns/3") == 1
    assert r.type("ns/4") == b"string" and r.type("nosuch") == b"none"
    assert r.expire("ns/4", 100) and r.ttl("ns/4") > 0 and r.persist("ns/4") and r.ttl("ns/4") == -1
    assert r.expireat("ns/4", 33177117420) and r.expiretime("ns/4") == 33177117420
    assert r.expire("ns/4", 10, nx=True) is False and r.pexpire("ns/4", 10000, lt=True)
    assert r.rename("ns/5", "moved") and r.renamenx("moved", "ns/6") is False
    assert r.copy("moved", "copied") and r.touch("moved", "copied") == 2
    assert r.object("encoding", "moved") in (b"int", "int")
    assert r.randomkey() is not None
    assert r.ttl("nosuch") == -2


def transactions(r):
    r.flushall()
    with r.pipeline(transaction=True) as pipe:
        assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]
    with r.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set(f"k{n}", n)
        assert all(pipe.execute())
    with r.pipeline() as pipe:
        pipe.watch("a")
        value = int(pipe.get("a"))
        r.set("a", 100)
        pipe.multi()
        pipe.set("a", value + 1)
        try:
            pipe.execute()
            raise AssertionError("a watched key had changed")
        except redis.WatchError:
            pass

    def increment(pipe):
        value = int(pipe.get("a"))
        pipe.multi()
        pipe.set("a", value + 1)

    assert r.transaction(increment, "a") == [True]
    assert r.get("a") == b"101"
    with r.pipeline() as pipe:
        pipe.set("text", "abc").incr("text").set("after", 1)
        replies = pipe.execute(raise_on_error=False)
        assert replies[0] is True and isinstance(replies[1], redis.ResponseError) and replies[2] is True


def server(r):
    info = r.info()
    for field in ("redis_version", "redis_mode", "process_id", "run_id", "connected_clients", "used_memory"):
        assert field in info, f"INFO has no {field}"
    r.set("a", 1)
    assert "db0" in r.info("keyspace")
    assert "maxmemory" in r.config_get("maxmemory") and "save" in r.config_get("save")
    assert r.client_setname("me") and r.client_getname() in (b"me", "me")
    assert r.client_id() > 0
    assert r.echo("hello") == b"hello"
    assert r.command_count() > 50 and "get" in r.command()
    assert r.flushdb() and r.dbsize() == 0


def published(listener):
    """The next message that is no confirmation."""
    for _ in range(100):
        message = listener.get_message(timeout=5)
        if message and message["type"] in ("message", "pmessage", "smessage"):
            return message
    raise AssertionError("no message came")


def pubsub(r):
    with r.pubsub() as listener:
        listener.subscribe("a", "b")
        listener.psubscribe("c*")
        listener.ssubscribe("shard")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        while r.pubsub_numpat() < 1 or r.pubsub_shardnumsub("shard") != [(b"shard", 1)]:
            listener.get_message(timeout=0.1)
        assert sorted(r.pubsub_channels()) == [b"a", b"b"]
        assert r.pubsub_numsub("a", "z") == [(b"a", 1), (b"z", 0)]
        assert r.publish("a", b"one\x00\xff") == 1
        assert published(listener)["data"] == b"one\x00\xff"
        assert r.publish("cat", "two") == 1
        message = published(listener)
        assert (message["pattern"], message["channel"], message["data"]) == (b"c*", b"cat", b"two")
        assert r.spublish("shard", "three") == 1
        for _ in range(100):
            message = listener.get_sharded_message(timeout=5) if hasattr(listener, "get_sharded_message") else None
            message = message or listener.get_message(timeout=5)
            if message and message["type"] == "smessage":
                break
        assert message["data"] == b"three"
        listener.unsubscribe()
        listener.punsubscribe()
        listener.sunsubscribe()
        while r.pubsub_channels() or r.pubsub_numpat():
            listener.get_message(timeout=0.1)
    with r.pipeline(transaction=True) as pipe:
        assert pipe.publish("a", 1).set("k", 1).publish("a", 2).execute() == [0, True, 0]


def introspection(r):
    me = r.client_id()
    listed = r.client_list()
    mine = next(client for client in listed if int(client["id"]) == me)
    assert int(mine["fd"]) > 0 and mine["cmd"] == "client|list" and int(mine["tot-mem"]) > 0
    assert int(r.client_info()["id"]) == me
    assert r.client_kill_filter(_id=99999999) == 0
    assert r.client_pause(1, all=False) and r.client_unpause()
    assert r.client_no_evict("off") in (True, "OK", b"OK")
    assert r.config_set("slowlog-log-slower-than", 0)
    r.set("a", 1)
    assert r.config_set("slowlog-log-slower-than", 10000)
    assert any(entry["command"] == b"SET a 1" for entry in r.slowlog_get(10))
    assert r.slowlog_len() > 0 and r.slowlog_reset()
    assert r.latency_latest() == [] and r.latency_reset() == 0
    assert r.role()[0] in (b"master", "master")
    assert r.wait(0, 1) == 0 and "kvns" in str(r.lolwut())
    assert r.memory_stats()["keys.count"] >= 1 and r.memory_usage("a") > 0
    everything = r.info("everything")
    assert everything["cmdstat_set"]["calls"] > 0 and "latency_percentiles_usec_set" in everything
    assert r.config_resetstat()
    with r.monitor() as monitor:
        r.set("seen", "yes")
        assert monitor.next_command()["command"] == "SET seen yes"


def main():
    port = int(sys.argv[1])
    for protocol in (None, 2, 3):
        options = {} if protocol is None else {"protocol": protocol}
        r = redis.Redis(port=port, **options)
        for family in (strings, keys, transactions, server, pubsub, introspection):
            r.flushall()
            family(r)
        r.close()
        print(f"redis-py {redis.__version__}, protocol {protocol or 'by default'}: ok")


main()
