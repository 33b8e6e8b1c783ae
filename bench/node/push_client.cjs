// Pushes with @parse/node-apn and prints what it took: node push_client.cjs IP PORT CA KEY COUNT IN_FLIGHT
const fs = require("node:fs");
const apn = require("@parse/node-apn");

const [ip, port, ca, key, countText, inFlightText] = process.argv.slice(2);
const count = Number(countText);
const inFlight = Number(inFlightText);
const provider = new apn.Provider({
  token: { key, keyId: "ABCDEFGH12", teamId: "TEAMTEAM12" },
  address: ip,
  port: Number(port),
  ca: fs.readFileSync(ca),
  production: true,
});

function notification() {
  return new apn.Notification({
    topic: "com.example.phone",
    pushType: "alert",
    priority: 10,
    expiry: Math.floor(Date.now() / 1000) + 3600,
    alert: { title: "alice", body: "x".repeat(80) },
    payload: { wakerobin: { v: 1, type: "expired", id: "c3a4f9d2", text: "y".repeat(120) } },
  });
}

async function push(number) {
  const began = performance.now();
  const result = await provider.send(notification(), number.toString(16).padStart(64, "0"));
  return result.sent.length === 1 ? performance.now() - began : -1;
}

async function main() {
  await push(0);
  const times = [];
  let next = 1;
  const cpu = process.cpuUsage();
  const began = performance.now();
  const workers = Array.from({ length: inFlight }, async () => {
    while (next <= count) times.push(await push(next++));
  });
  await Promise.all(workers);
  const wall = (performance.now() - began) / 1000;
  const used = process.cpuUsage(cpu);
  const good = times.filter((time) => time >= 0).sort((a, b) => a - b);
  const quantile = (part) => good[Math.min(good.length - 1, Math.floor(good.length * part))] ?? 0;
  console.log(JSON.stringify({
    pushed: good.length,
    cpu: (used.user + used.system) / 1e6,
    wall,
    p50: quantile(0.5),
    p99: quantile(0.99),
  }));
  provider.shutdown();
}

main();
