// What JsSIP and SIP.js expect of a browser: a WebSocket that tells every SIP message, and a WebRTC that
// agrees to everything and sends no media.
"use strict";
const { EventEmitter } = require("node:events");

const tell = (event, words = {}) => console.log(JSON.stringify({ event, ...words }));

let sessions = 0;

function description(type, direction = "sendrecv") {
  sessions += 1;
  return [
    "v=0",
    `o=- ${4000 + sessions} 1 IN IP4 127.0.0.1`,
    "s=-",
    "t=0 0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    "c=IN IP4 127.0.0.1",
    "a=rtpmap:0 PCMU/8000",
    "a=mid:0",
    "a=rtcp-mux",
    "a=ice-ufrag:stub",
    "a=ice-pwd:stubstubstubstubstubstub",
    "a=candidate:1 1 udp 2122260223 127.0.0.1 9 typ host",
    `a=fingerprint:sha-256 ${Array(32).fill("5A").join(":")}`,
    `a=setup:${type === "offer" ? "actpass" : "active"}`,
    `a=${direction}`,
    "",
  ].join("\r\n");
}

class Track extends EventEmitter {
  kind = "audio";
  enabled = true;
  addEventListener(name, listener) { this.on(name, listener); }
  stop() {}
}

class Stream {
  tracks = [new Track()];
  getTracks() { return this.tracks; }
  getAudioTracks() { return this.tracks; }
  getVideoTracks() { return []; }
  addTrack(track) { this.tracks.push(track); }
  removeTrack() {}
}

class PeerConnection extends EventEmitter {
  iceGatheringState = "complete";
  iceConnectionState = "connected";
  connectionState = "connected";
  signalingState = "stable";
  localDescription = null;
  remoteDescription = null;
  senders = [];
  addEventListener(name, listener) { this.on(name, listener); }
  removeEventListener(name, listener) { this.off(name, listener); }
  addTrack(track) {
    this.senders.push({ track, replaceTrack: async () => {} });
    return this.senders.at(-1);
  }
  getSenders() { return this.senders; }
  getReceivers() { return []; }
  getTransceivers() { return []; }
  async createOffer() { return { type: "offer", sdp: description("offer") }; }
  async createAnswer() { return { type: "answer", sdp: description("answer") }; }
  async setLocalDescription(given) {
    this.localDescription = given;
    this.signalingState = given.type === "offer" ? "have-local-offer" : "stable";
  }
  async setRemoteDescription(given) {
    this.remoteDescription = given;
    this.signalingState = given.type === "offer" ? "have-remote-offer" : "stable";
  }
  close() { this.signalingState = this.connectionState = "closed"; }
}

// Installs all of it; `Socket` is the class of the package "ws".
function install(Socket) {
  class TracedSocket extends Socket {
    constructor(url, protocols) {
      super(url, protocols);
      this.on("message", (data) => tell("sip", { sent: false, text: data.toString() }));
    }
    send(data, ...rest) {
      tell("sip", { sent: true, text: data.toString() });
      super.send(data, ...rest);
    }
  }
  globalThis.WebSocket = TracedSocket;
  globalThis.window = globalThis;
  globalThis.RTCPeerConnection = PeerConnection;
  globalThis.RTCSessionDescription = class { constructor(given) { Object.assign(this, given); } };
  globalThis.MediaStream = Stream;
  const devices = { getUserMedia: async () => new Stream() };
  Object.defineProperty(globalThis, "navigator", {
    value: { userAgent: "node", mediaDevices: devices },
    configurable: true,
  });
}

// Reads commands, one a line; what a command throws is told.
function obey(commands) {
  require("node:readline").createInterface({ input: process.stdin }).on("line", async (line) => {
    const [command, ...words] = line.split(" ");
    try {
      await commands[command](...words);
    } catch (error) {
      tell("error", { command, text: String(error) });
    }
  }).on("close", () => process.exit(0));
}

module.exports = { Stream, description, install, obey, tell };
