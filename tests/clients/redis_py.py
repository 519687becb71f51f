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


def main():
    port = int(sys.argv[1])
    for protocol in (None, 2, 3):
        options = {} if protocol is None else {"protocol": protocol}
        r = redis.Redis(port=port, **options)
        for family in (strings, keys, transactions, server):
            r.flushall()
            family(r)
        r.close()
        print(f"redis-py {redis.__version__}, protocol {protocol or 'by default'}: ok")


main()
