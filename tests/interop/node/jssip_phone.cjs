// A web phone made with JsSIP: node jssip_phone.cjs MODULES URL AOR PASSWORD [PN-PARAMETERS]
// Commands come on stdin, one a line; what happens is told on stdout, one JSON object a line.
"use strict";
const [modules, url, uri, password, pn] = process.argv.slice(2);
const fetched = require("node:module").createRequire(`${modules}/`);
const { Stream, install, obey, tell } = require("./browser_stub.cjs");
install(fetched("ws").WebSocket);
const JsSIP = fetched("jssip");

const chance = () => Math.random().toString(36).slice(2, 12);
const options = {
  sockets: [new JsSIP.WebSocketInterface(url)],
  uri,
  password,
  register_expires: 300,
  session_timers: false,
  no_answer_timeout: 120,
};
// RFC 8599 parameters belong into the URI of the Contact, and this is the one way to get them there.
if (pn) options.contact_uri = `sip:${chance()}@${chance()}.invalid;transport=ws;${pn}`;
const agent = new JsSIP.UA(options);
const calls = [];
const latest = () => calls.at(-1);
const media = () => ({ mediaStream: new Stream() });

agent.on("registered", () => tell("registered"));
agent.on("registrationFailed", ({ response, cause }) =>
  tell("refused", { status: response ? response.status_code : 0, cause }));
agent.on("newRTCSession", ({ session, originator }) => follow(session, originator === "remote"));

function follow(session, isIncoming) {
  calls.push(session);
  if (isIncoming) tell("incoming", { from: session.remote_identity.uri.toString() });
  session.on("confirmed", () => tell("established"));
  for (const event of ["ended", "failed"]) {
    session.on(event, ({ cause, originator }) => {
      calls.splice(calls.indexOf(session), 1);
      tell("ended", { cause, originator });
    });
  }
  session.on("refer", ({ accept }) => {
    tell("referred");
    accept((made) => follow(made, false), media());
  });
  session.on("replaces", ({ accept }) => accept((made) => setImmediate(() => made.answer(media()))));
}

const watched = () => ({
  accepted: () => tell("transferred"),
  failed: ({ cause }) => tell("error", { command: "transfer", text: cause }),
  requestFailed: ({ cause }) => tell("error", { command: "transfer", text: cause }),
});

agent.start();
obey({
  dial: (to) => agent.call(to, media()),
  answer: () => latest().answer(media()),
  decline: (code) => latest().terminate({ status_code: Number(code) }),
  hangup: () => latest().terminate(),
  hold: () => latest().hold({}, () => tell("held")),
  resume: () => latest().unhold({}, () => tell("resumed")),
  transfer: (to) => latest().refer(to, { eventHandlers: watched() }),
  join: () => calls.at(-2).refer(latest().remote_identity.uri, { replaces: latest(), eventHandlers: watched() }),
  quit: () => agent.stop(),
});
