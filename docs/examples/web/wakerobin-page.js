// Enrols this browser with Wakerobin and keeps it enrolled. Fill in the first lines; the rest can stay.
"use strict";

const API = location.origin; // Wakerobin behind the same host as this page; see docs/webpush.md
const APP = "phone"; // [apps.phone] in wakerobin.toml
const ENROLMENT_KEY = ""; // its enrolment_key
const VAPID_KEY = ""; // wakerobin push webpush-key phone

const say = (text) => (document.getElementById("state").textContent = text);

async function subscribed() {
  if ((await Notification.requestPermission()) !== "granted") {
    throw new Error("Without notifications nobody can call you here.");
  }
  const worker = await navigator.serviceWorker.ready;
  const options = { userVisibleOnly: true, applicationServerKey: VAPID_KEY };
  return worker.pushManager.subscribe(options);
}

async function enrol(aor, password) {
  const subscription = await subscribed();
  const { endpoint, keys } = subscription.toJSON();
  const body = {
    app: APP,
    aor,
    credentials: { password },
    targets: [{ provider: "webpush", purposes: ["call", "notice"], endpoint, ...keys }],
    installation_id: installationId(),
    platform: "web",
    locale: navigator.language,
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
  const answer = await fetch(`${API}/v1/push-registrations?wait=5`, {
    method: "POST",
    headers: { authorization: `Bearer ${ENROLMENT_KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const made = await answer.json();
  if (!answer.ok) {
    throw new Error(made.detail || made.title);
  }
  await keep({ id: made.id, secret: made.secret, api: API });
  return made;
}

// Every time the page is opened its accounts live on; one that has ended is forgotten.
async function renew() {
  const all = await stored((store) => store.getAll());
  for (const { id, secret, api } of all) {
    const answer = await fetch(`${api}/v1/push-registrations/${id}/renew`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json" },
      body: JSON.stringify({ cause: "opened" }),
    });
    if (answer.status === 401 || answer.status === 410) {
      await stored((store) => store.delete(id), "readwrite");
      say("You are no longer called here. Enter your password again.");
    } else if (answer.ok) {
      say("You can be called here.");
    }
  }
}

function installationId() {
  const known = localStorage.getItem("installation");
  if (known) {
    return known;
  }
  const octets = crypto.getRandomValues(new Uint8Array(16));
  const text = btoa(String.fromCharCode(...octets));
  const made = text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  localStorage.setItem("installation", made);
  return made;
}

const keep = (registration) => stored((store) => store.put(registration), "readwrite");

// The service worker reads the same.
function stored(work, mode = "readonly") {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("wakerobin", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("registrations", { keyPath: "id" });
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction("registrations", mode);
      const asked = work(transaction.objectStore("registrations"));
      transaction.oncomplete = () => {
        database.close();
        resolve(asked.result);
      };
      transaction.onerror = () => reject(transaction.error);
    };
  });
}

// What the service worker says when a notification is tapped: hand it to your SIP stack.
navigator.serviceWorker.addEventListener("message", ({ data }) => {
  say(data.action === "answer" ? "Answering …" : "");
});

document.getElementById("account").addEventListener("submit", async (event) => {
  event.preventDefault();
  say("…");
  try {
    const made = await enrol(document.getElementById("aor").value, document.getElementById("password").value);
    say(made.binding.state === "registered" ? "You can be called here." : "The telephone system has not answered yet.");
  } catch (error) {
    say(error.message);
  }
});

navigator.serviceWorker.register("wakerobin-sw.js").then(renew);
