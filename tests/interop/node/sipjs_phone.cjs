// A web phone made with SIP.js: node sipjs_phone.cjs MODULES URL AOR PASSWORD [PN-PARAMETERS]
// Commands come on stdin, one a line; what happens is told on stdout, one JSON object a line.
"use strict";
const [modules, url, uri, password, pn] = process.argv.slice(2);
const fetched = require("node:module").createRequire(`${modules}/`);
const { description, install, obey, tell } = require("./browser_stub.cjs");
install(fetched("ws").WebSocket);
const { Inviter, Registerer, RegistererState, SessionState, UserAgent } = fetched("sip.js");

// SIP.js leaves session descriptions to its user.
class Descriptions {
  close() {}
  async getDescription({ hold = false } = {}) {
    const body = description(this.remote ? "answer" : "offer", hold ? "sendonly" : "sendrecv");
    this.remote = false;
    return { body, contentType: "application/sdp" };
  }
  hasDescription(type) { return type === "application/sdp"; }
  async setDescription() { this.remote = true; }
  async rollbackDescription() {}
  sendDtmf() { return false; }
}

const aor = UserAgent.makeURI(uri);
const calls = [];
const latest = () => calls.at(-1);
const parameters = pn ? Object.fromEntries(pn.split(";").map((one) => one.split("="))) : {};
const agent = new UserAgent({
  uri: aor,
  authorizationUsername: aor.user,
  authorizationPassword: password,
  transportOptions: { server: url },
  contactParams: { transport: "ws", ...parameters },
  noAnswerTimeout: 120,
  logLevel: "error",
  sessionDescriptionHandlerFactory: () => new Descriptions(),
  delegate: {
    onInvite: (invitation) => {
      follow(invitation);
      tell("incoming", { from: invitation.remoteIdentity.uri.toString() });
    },
  },
});

function follow(session) {
  calls.push(session);
  session.delegate = {
    onRefer: async (referral) => {
      tell("referred");
      await referral.accept();
      const made = referral.makeInviter();
      follow(made);
      await made.invite();
    },
  };
  session.stateChange.addListener((state) => {
    if (state === SessionState.Established) tell("established");
    if (state !== SessionState.Terminated) return;
    calls.splice(calls.indexOf(session), 1);
    tell("ended");
  });
}

// Holds and resumes: a re-INVITE, told once it is accepted.
const change = (hold, done) => latest().invite({
  sessionDescriptionHandlerOptions: { hold },
  requestDelegate: {
    onAccept: () => tell(done),
    onReject: ({ message }) => tell("error", { command: done, text: String(message.statusCode) }),
  },
});

function hangUp(session) {
  if (session.state === SessionState.Established) return session.bye();
  return session instanceof Inviter ? session.cancel() : session.reject();
}

(async () => {
  await agent.start();
  const registerer = new Registerer(agent, { expires: 300 });
  registerer.stateChange.addListener((state) => {
    if (state === RegistererState.Registered) tell("registered");
  });
  const requestDelegate = { onReject: ({ message }) => tell("refused", { status: message.statusCode }) };
  await registerer.register({ requestDelegate });
  obey({
    dial: (to) => {
      const made = new Inviter(agent, UserAgent.makeURI(to));
      follow(made);
      return made.invite();
    },
    answer: () => latest().accept(),
    decline: (code) => latest().reject({ statusCode: Number(code) }),
    hangup: () => hangUp(latest()),
    hold: () => change(true, "held"),
    resume: () => change(false, "resumed"),
    transfer: (to) => latest().refer(UserAgent.makeURI(to), {
      onNotify: async (notification) => {
        await notification.accept();
        if (/^SIP\/2\.0 2/.test(notification.request.body)) tell("transferred");
      },
    }),
    quit: () => registerer.unregister(),
  });
})();
