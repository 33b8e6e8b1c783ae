// A push service that is as strict as Apple's, on Node's own HTTP/2 (nghttp2): it verifies provider tokens, lets
// one stream through until it has seen a valid one, checks the headers of each push type, and misbehaves on command.
//
// node apns_double.mjs '{"host", "port", "control", "key", "cert", "clientCa"?, "publicKey"?, "keyId", "teamId",
// "topic"}'; "control" is the port of an HTTP/1.1 server: POST /script {…} sets how to behave, GET /report counts.
import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";

const config = JSON.parse(process.argv[2]);
const publicKey = config.publicKey ? crypto.createPublicKey(fs.readFileSync(config.publicKey)) : null;

const SUFFIX = { alert: "", background: "", voip: ".voip" };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HOUR = 3600;

// How to behave; numbers count pushes, 0 and absent: never.
let script = {};
let received = 0; // pushes since the script was set
const report = { connections: 0, received: 0, accepted: {}, refused: {}, cuts: 0, mostStreams: 0 };
const tokens = new Map(); // the verified provider tokens

function verifyToken(text) {
  if (tokens.has(text)) return tokens.get(text);
  let verdict = "InvalidProviderToken";
  try {
    const [head, body, signature] = text.split(".");
    const header = JSON.parse(Buffer.from(head, "base64url"));
    const claims = JSON.parse(Buffer.from(body, "base64url"));
    const key = { key: publicKey, dsaEncoding: "ieee-p1363" };
    const isSigned = crypto.verify(
      "sha256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"));
    const age = Date.now() / 1000 - claims.iat;
    const isOurs = header.alg === "ES256" && header.kid === config.keyId && claims.iss === config.teamId;
    if (isSigned && isOurs && Number.isInteger(claims.iat)) verdict = age > HOUR ? "ExpiredProviderToken" : "";
  } catch {
    // what cannot be read is no token
  }
  tokens.set(text, verdict);
  return verdict;
}

function checkToken(session, headers) {
  if (session.isProved) return null; // by its certificate; an authorization header is ignored then
  const [scheme, text] = (headers.authorization ?? "").split(" ");
  if (!text || scheme.toLowerCase() !== "bearer") return [403, "MissingProviderToken"];
  const verdict = verifyToken(text);
  if (verdict) return [403, verdict];
  if (session.providerToken && session.providerToken !== text) return [429, "TooManyProviderTokenUpdates"];
  session.providerToken = text;
  return null;
}

function checkHeaders(headers) {
  const token = headers[":path"].slice("/3/device/".length);
  if (headers[":method"] !== "POST") return [405, "MethodNotAllowed"];
  if (!headers[":path"].startsWith("/3/device/")) return [404, "BadPath"];
  if (!/^([0-9a-f]{2})+$/i.test(token)) return [400, "BadDeviceToken"];
  const type = headers["apns-push-type"];
  if (!(type in SUFFIX)) return [400, "InvalidPushType"];
  if (headers["apns-topic"] !== config.topic + SUFFIX[type]) return [400, "DeviceTokenNotForTopic"];
  const priorities = type === "background" ? ["5"] : ["1", "5", "10"];
  if (!priorities.includes(headers["apns-priority"] ?? "10")) return [400, "BadPriority"];
  if (!/^\d+$/.test(headers["apns-expiration"] ?? "0")) return [400, "BadExpirationDate"];
  if (Buffer.byteLength(headers["apns-collapse-id"] ?? "") > 64) return [400, "BadCollapseId"];
  if (!UUID.test(headers["apns-id"] ?? "")) return [400, "BadMessageId"];
  return null;
}

function checkBody(type, body) {
  if (body.length === 0) return [400, "PayloadEmpty"];
  if (body.length > (type === "voip" ? 5120 : 4096)) return [413, "PayloadTooLarge"];
  let aps;
  try {
    aps = JSON.parse(body).aps;
  } catch {
    return [400, "PayloadEmpty"];
  }
  if (typeof aps !== "object" || aps === null) return [400, "PayloadEmpty"];
  if (type === "background" && (aps["content-available"] !== 1 || aps.alert)) return [400, "InvalidPushType"];
  if (type === "alert" && !aps.alert) return [400, "InvalidPushType"];
  return null;
}

function refuse(stream, status, reason, extra = {}) {
  report.refused[reason] = (report.refused[reason] ?? 0) + 1;
  const body = script.emptyBodies ? "" : JSON.stringify({ reason, ...extra });
  stream.respond({ ":status": status, date: new Date().toUTCString() }, { endStream: body === "" && script.noData });
  if (body === "" && script.noData) return;
  if (!script.splitBodies) return stream.end(body);
  for (const character of body) stream.write(character);
  stream.end();
}

function take(session, stream, headers) {
  const id = headers["apns-id"];
  report.accepted[id] = (report.accepted[id] ?? 0) + 1;
  session.lastAccepted = Math.max(session.lastAccepted, stream.id);
}

function answer(stream, headers) {
  const id = headers["apns-id"];
  stream.respond({ ":status": 200, "apns-id": id, date: new Date().toUTCString() }, { endStream: true });
}

function isTurn(every) {
  return every > 0 && received % every === 0;
}

function goAway(session, last) {
  session.cut = last;
  session.goaway(http2.constants.NGHTTP2_NO_ERROR, last, Buffer.from(JSON.stringify({ reason: "Shutdown" })));
}

function onPush(session, stream, headers, body) {
  // Above the last id of a GOAWAY nothing may be touched (RFC 9113 6.8).
  if (stream.id > session.cut) return;
  received += 1;
  report.received += 1;
  const refusal = checkToken(session, headers);
  if (refusal) return refuse(stream, ...refusal);
  session.trust();
  const wrong = checkHeaders(headers) ?? checkBody(headers["apns-push-type"], body);
  if (wrong) return refuse(stream, ...wrong);
  if (isTurn(script.killEvery)) {
    report.cuts += 1;
    return session.destroy();
  }
  if (isTurn(script.resetEvery)) {
    report.cuts += 1;
    return stream.close(script.resetCode);
  }
  if (isTurn(script.silentEvery)) {
    report.cuts += 1;
    return;
  }
  // Those behind the last accepted one, this one too, were never touched.
  if (isTurn(script.goAwayLowEvery)) return goAway(session, session.lastAccepted);
  if (script.refuseWith) return refuse(stream, ...script.refuseWith);
  if (script.takeLate) {
    setTimeout(() => {
      if (stream.id > session.cut || stream.destroyed) return;
      take(session, stream, headers);
      answer(stream, headers);
    }, script.delay);
  } else {
    take(session, stream, headers);
    if (script.delay) setTimeout(() => stream.destroyed || answer(stream, headers), script.delay);
    else answer(stream, headers);
  }
  if (isTurn(script.goAwayEvery)) goAway(session, session.state.lastProcStreamID);
}

const options = {
  key: fs.readFileSync(config.key),
  cert: fs.readFileSync(config.cert),
  ALPNProtocols: ["h2"],
  settings: { maxConcurrentStreams: config.clientCa ? 1000 : 1 },
};
if (config.clientCa) {
  Object.assign(options, { ca: fs.readFileSync(config.clientCa), requestCert: true, rejectUnauthorized: true });
}
const server = http2.createSecureServer(options);

server.on("session", (session) => {
  report.connections += 1;
  session.isProved = Boolean(config.clientCa) && session.socket.authorized;
  session.isTrusted = session.isProved;
  session.lastAccepted = 0;
  session.cut = Infinity;
  session.streams = 0;
  session.trust = () => {
    if (!session.isTrusted) session.settings({ maxConcurrentStreams: script.mostStreams || 1000 });
    session.isTrusted = true;
  };
  session.on("error", () => {});
  if (script.idleTimeout) session.setTimeout(script.idleTimeout, () => session.close());
});

server.on("stream", (stream, headers) => {
  const session = stream.session;
  stream.on("error", () => {});
  session.streams += 1;
  report.mostStreams = Math.max(report.mostStreams, session.streams);
  stream.on("close", () => (session.streams -= 1));
  const chunks = [];
  stream.on("data", (chunk) => chunks.push(chunk));
  stream.on("end", () => onPush(session, stream, headers, Buffer.concat(chunks)));
});
server.on("sessionError", () => {});
server.on("tlsClientError", () => {});

const control = http.createServer((request, response) => {
  let text = "";
  request.on("data", (chunk) => (text += chunk));
  request.on("end", () => {
    if (request.method === "POST") {
      script = JSON.parse(text);
      received = 0;
      Object.assign(report, {
        connections: 0, received: 0, accepted: {}, refused: {}, cuts: 0, mostStreams: 0,
      });
    }
    response.end(JSON.stringify(report));
  });
});

server.listen(config.port, config.host, () =>
  control.listen(config.control, config.host, () => console.log("listening")));
