// Runs the families built so far through ioredis, with its default settings.
//
// Usage: node ioredis.js PORT, with ioredis in the folder that NODE_PATH names.

const assert = require("node:assert");
const Redis = require("ioredis");

async function strings(redis) {
  assert.equal(await redis.ping(), "PONG");
  assert.equal(await redis.set("k", "v", "EX", 1000, "NX"), "OK");
  assert.equal(await redis.set("k", "w", "NX"), null);
  assert.equal(await redis.get("k"), "v");
  assert.equal(await redis.mset({ a: 1, b: 2 }), "OK");
  assert.deepEqual(await redis.mget("a", "b", "nosuch"), ["1", "2", null]);
  assert.equal(await redis.incr("a"), 2);
  assert.equal(await redis.incrby("a", 10), 12);
  assert.equal(await redis.incrbyfloat("a", 0.5), "12.5");
  assert.equal(await redis.append("k", "x"), 2);
  assert.equal(await redis.getrange("k", 0, 0), "v");
  assert.equal(await redis.getdel("k"), "vx");
  const binary = Buffer.from([...Array(256).keys()]);
  assert.equal(await redis.set(binary, binary), "OK");
  assert.deepEqual(await redis.getBuffer(binary), binary);
  await redis.set("text", "abc");
  await assert.rejects(redis.incr("text"), /not an integer/);
}

async function keys(redis) {
  const pipeline = redis.pipeline();
  for (let n = 0; n < 500; n++) pipeline.set(`ns/${n}`, n);
  assert((await pipeline.exec()).every(([error, reply]) => error === null && reply === "OK"));
  const seen = new Set();
  for await (const names of redis.scanStream({ match: "ns/*", count: 20 })) names.forEach((name) => seen.add(name));
  assert.equal(seen.size, 500);
  assert.equal(await redis.dbsize(), 500);
  assert.equal(await redis.del("ns/1", "ns/2", "nosuch"), 2);
  assert.equal(await redis.expire("ns/3", 100), 1);
  assert((await redis.ttl("ns/3")) > 0);
  assert.equal(await redis.rename("ns/4", "moved"), "OK");
  assert.equal(await redis.type("moved"), "string");
  assert.equal(await redis.exists("moved", "ns/4"), 1);
}

async function transactions(redis, other) {
  const replies = await redis.multi().set("a", 1).incr("a").get("a").exec();
  assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"]]);
  await redis.watch("a");
  await other.set("a", 100);
  assert.equal(await redis.multi().set("a", 5).exec(), null);
  assert.equal(await redis.get("a"), "100");
  await redis.watch("a");
  assert.deepEqual(await redis.multi().incr("a").exec(), [[null, 101]]);
  await assert.rejects(redis.multi().set("a").exec(), /EXECABORT/);
}

async function server(redis) {
  const info = await redis.info();
  for (const field of ["redis_version", "redis_mode", "connected_clients", "used_memory"]) {
    assert(info.includes(`${field}:`), `INFO has no ${field}`);
  }
  assert.equal((await redis.config("GET", "maxmemory"))[0], "maxmemory");
  assert.equal(await redis.client("SETNAME", "me"), "OK");
  assert.equal(await redis.client("GETNAME"), "me");
  assert((await redis.command("COUNT")) > 50);
}

async function pubsub(redis, other) {
  const listener = redis.duplicate();
  const heard = [];
  const all = new Promise((resolve) => {
    const hear = (...message) => heard.push(message) === 3 && resolve();
    listener.on("message", (channel, text) => hear(channel, text));
    listener.on("pmessage", (pattern, channel, text) => hear(pattern, channel, text));
  });
  assert.equal(await listener.subscribe("a", "b"), 2);
  assert.equal(await listener.psubscribe("b*"), 3);
  assert.equal(await other.publish("a", "one"), 1);
  assert.equal(await other.publish("b", "two"), 2);
  await all;
  assert.deepEqual(heard, [["a", "one"], ["b", "two"], ["b*", "b", "two"]]);
  assert.deepEqual(await other.pubsub("NUMSUB", "a"), ["a", 1]);
  await listener.unsubscribe("a", "b");
  await listener.punsubscribe("b*");
  assert.equal(await listener.get("x"), null);
  listener.disconnect();
}

async function monitoring(redis, other) {
  const monitor = await redis.monitor();
  const seen = new Promise((resolve) => monitor.on("monitor", (time, args) => args[0] === "set" && resolve(args)));
  await other.set("seen", "yes");
  assert.deepEqual(await seen, ["set", "seen", "yes"]);
  monitor.disconnect();
  assert.equal((await redis.role())[0], "master");
  assert((await redis.slowlog("LEN")) >= 0);
}

async function main() {
  const port = Number(process.argv[2]);
  const redis = new Redis(port);
  const other = new Redis({ port, connectionName: "other" });
  for (const family of [strings, keys, transactions, server, pubsub, monitoring]) {
    await redis.flushall();
    await family(redis, other);
  }
  await Promise.all([redis.quit(), other.quit()]);
  console.log(`ioredis ${require("ioredis/package.json").version}: ok`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
