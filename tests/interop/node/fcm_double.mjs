// Firebase and Google's token server on Node's own HTTP/2 (nghttp2) and crypto: it verifies RS256 assertions and their
// scope, gives out bearer tokens, checks messages, and answers with errors on command.
//
// node fcm_double.mjs '{"host", "port", "control", "key", "cert", "publicKey", "project", "email"}'; "control" is the
// port of an HTTP/1.1 server: POST /script {…} sets how to behave, GET /report says what came in.
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";

const config = JSON.parse(process.argv[2]);
const publicKey = crypto.createPublicKey(fs.readFileSync(config.publicKey));
const origin = `https://${config.host}:${config.port}`;
const SCOPE = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError";

// How to behave: errors {token: [status, code, retryAfter]}, tokenStatus, revoke (forget every bearer token).
let script = {};
const report = { connections: 0, protocols: [], assertions: 0, wrong: [], messages: [], refused: [] };
const bearers = new Set();

function checkAssertion(text) {
  const [head, body, signature] = text.split(".");
  const header = JSON.parse(Buffer.from(head, "base64url"));
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  if (header.alg !== "RS256" || header.typ !== "JWT") return "header";
  if (!crypto.verify("RSA-SHA256", Buffer.from(`${head}.${body}`), publicKey, Buffer.from(signature, "base64url"))) {
    return "signature";
  }
  const now = Date.now() / 1000;
  if (claims.iss !== config.email) return "issuer";
  if (claims.aud !== `${origin}/token`) return "audience";
  if (claims.scope !== SCOPE) return "scope";
  if (claims.iat > now + 60 || claims.exp < now || claims.exp - claims.iat > 3600) return "times";
  return null;
}

function onToken(request, body) {
  if (script.tokenStatus) return [script.tokenStatus, { error: "unavailable" }];
  if (request.headers["content-type"] !== "application/x-www-form-urlencoded") return [400, { error: "invalid_request" }];
  const form = new URLSearchParams(body);
  let wrong = form.get("grant_type") === GRANT ? null : "grant type";
  try {
    wrong ??= checkAssertion(form.get("assertion"));
  } catch (error) {
    wrong = String(error);
  }
  report.assertions += 1;
  if (wrong) {
    report.wrong.push(wrong);
    return [400, { error: "invalid_grant", error_description: `Invalid JWT: ${wrong}` }];
  }
  const bearer = crypto.randomBytes(32).toString("base64url");
  bearers.add(bearer);
  return [200, { access_token: bearer, expires_in: 3599, token_type: "Bearer" }];
}

function failure(status, name, code) {
  const details = code ? [{ "@type": ERROR, errorCode: code }] : [];
  return [status, { error: { code: status, message: code ?? name, status: name, details } }];
}

function checkMessage(message) {
  const targets = ["token", "fid", "topic", "condition"].filter((name) => name in message);
  if (targets.length !== 1) return "targets";
  if (!Object.values(message.data).every((value) => typeof value === "string")) return "data";
  const size = Object.entries(message.data).reduce((sum, pair) => sum + Buffer.byteLength(pair[0] + pair[1]), 0);
  if (size > 4096) return "size";
  if (!["HIGH", "NORMAL"].includes(message.android.priority)) return "priority";
  if (!/^\d+s$/.test(message.android.ttl) || parseInt(message.android.ttl, 10) > 2419200) return "ttl";
  return null;
}

function onMessage(request, body) {
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
  if (!bearers.has(bearer)) return failure(401, "UNAUTHENTICATED");
  if (!request.headers["content-type"].startsWith("application/json")) return failure(400, "INVALID_ARGUMENT");
  const { message } = JSON.parse(body);
  const wrong = checkMessage(message);
  if (wrong) {
    report.wrong.push(wrong);
    return failure(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT");
  }
  const scripted = script.errors?.[message.token ?? message.fid];
  if (scripted) {
    const [status, code, retryAfter] = scripted;
    return [...failure(status, code, code), retryAfter];
  }
  report.messages.push({ message, protocol: request.httpVersion });
  return [200, { name: `projects/${config.project}/messages/${report.messages.length}` }];
}

function answer(request, body) {
  if (request.method !== "POST") return failure(405, "METHOD_NOT_ALLOWED");
  if (request.url === "/token") return onToken(request, body);
  if (request.url === `/v1/projects/${config.project}/messages:send`) return onMessage(request, body);
  return failure(404, "NOT_FOUND");
}

const server = http2.createSecureServer({
  key: fs.readFileSync(config.key),
  cert: fs.readFileSync(config.cert),
  allowHTTP1: true,
});
server.on("session", (session) => {
  report.connections += 1;
  session.on("error", () => {});
});
server.on("request", (request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const [status, body, retryAfter] = answer(request, Buffer.concat(chunks).toString());
    if (status !== 200) report.refused.push(status);
    const headers = { "content-type": "application/json; charset=UTF-8" };
    if (retryAfter) headers["retry-after"] = String(retryAfter);
    response.writeHead(status, headers);
    response.end(JSON.stringify(body));
  });
});

const control = http.createServer((request, response) => {
  let text = "";
  request.on("data", (chunk) => (text += chunk));
  request.on("end", () => {
    if (request.method === "POST") {
      script = JSON.parse(text);
      if (script.revoke) bearers.clear();
    }
    response.end(JSON.stringify(report));
  });
});

server.listen(config.port, config.host, () =>
  control.listen(config.control, config.host, () => console.log("listening")));
