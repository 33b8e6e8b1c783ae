// A receiver of Standard Webhooks, written from the specification with nothing but Node's own modules: it verifies id,
// timestamp and signature of each, over HTTP/1.1 or HTTP/2.
//
// node webhook_receiver.mjs '{"host", "port", "control", "key", "cert", "secrets", "http2"}'; "control" is the port of an
// HTTP/1.1 server: POST /script {"secrets"?, "gone"?} changes it, GET /report says what came in.
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";

const config = JSON.parse(process.argv[2]);
let secrets = config.secrets;
let gone = [];
const report = { connections: 0, taken: [], refused: [] };

function verify(headers, body) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  if (!id || !/^\d+$/.test(timestamp)) return "headers";
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) return "timestamp";
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const expected = secrets.map((secret) => {
    const key = Buffer.from(secret.slice("whsec_".length), "base64");
    return crypto.createHmac("sha256", key).update(signed).digest();
  });
  const given = headers["webhook-signature"].split(" ").map((one) => one.split(","));
  const isSigned = given.some(([version, text]) => version === "v1" && expected.some((digest) => {
    const octets = Buffer.from(text, "base64");
    return octets.length === digest.length && crypto.timingSafeEqual(octets, digest);
  }));
  return isSigned ? null : "signature";
}

function onRequest(request, response) {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    const wrong = request.method === "POST" ? verify(request.headers, body) : "method";
    if (wrong) {
      report.refused.push(wrong);
      response.writeHead(401);
      return response.end();
    }
    const push = JSON.parse(body);
    report.taken.push({ id: request.headers["webhook-id"], url: request.url, http: request.httpVersion, push });
    response.writeHead(gone.includes(push.target.token) ? 410 : 204);
    response.end();
  });
}

const files = { key: fs.readFileSync(config.key), cert: fs.readFileSync(config.cert) };
const server = config.http2 ? http2.createSecureServer(files, onRequest) : https.createServer(files, onRequest);
server.on("secureConnection", () => (report.connections += 1));

const control = http.createServer((request, response) => {
  let text = "";
  request.on("data", (chunk) => (text += chunk));
  request.on("end", () => {
    if (request.method === "POST") {
      const change = JSON.parse(text);
      secrets = change.secrets ?? secrets;
      gone = change.gone ?? gone;
    }
    response.end(JSON.stringify(report));
  });
});

server.listen(config.port, config.host, () =>
  control.listen(config.control, config.host, () => console.log("listening")));
