// The service worker of a web phone that Wakerobin wakes: it shows calls and warnings, and renews before it warns.
// Copy it to the root of your site, beside index.html, which saves what it needs (see `registrations` there).
"use strict";

const WORDS = { answer: "Answer", decline: "Decline", title: "Phone", reachable: "You can be reached." };
const PATIENCE_MS = 8000; // the browser gives a push some ten seconds more before it ends this worker

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(pushed(event)));
self.addEventListener("notificationclick", (event) => event.waitUntil(tapped(event)));
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(resubscribed(event)));

// Whatever arrives, something is shown: a browser takes the subscription away from who shows nothing.
async function pushed(event) {
  const { notification, wakerobin } = read(event);
  const isWarning = wakerobin.type === "expiry-warning";
  const isRenewed = isWarning && (await renewAll("service-worker"));
  const options = { ...notification, data: { ...notification.data, wakerobin } };
  if (wakerobin.type === "call") {
    options.actions = [
      { action: "answer", title: WORDS.answer },
      { action: "decline", title: WORDS.decline },
    ];
  }
  if (isRenewed) {
    Object.assign(options, { body: WORDS.reachable, silent: true, renotify: false });
  }
  await self.registration.showNotification(notification.title || WORDS.title, options);
  await report(wakerobin, isRenewed ? "suppressed-renewed" : "shown");
}

// Safari reads a declarative push message itself and hands us the notification that it would show.
function read(event) {
  let message = {};
  try {
    message = event.data.json() || {};
  } catch {
    const proposed = event.notification;
    if (proposed) {
      const { title, body, tag, data } = proposed;
      message = { notification: { title, body, tag, data }, wakerobin: { ...data } };
    }
  }
  return { notification: message.notification || {}, wakerobin: message.wakerobin || {} };
}

async function tapped(event) {
  const { data } = event.notification;
  const push = (data && data.wakerobin) || data || {};
  event.notification.close();
  if (event.action === "decline") {
    const registration = await find(push.registration);
    const body = { scope: "all", reason: "declined" };
    await ask(registration, "POST", `/calls/${push.call_id}/decline`, body);
    return;
  }
  await report(push, "tapped");
  const action = push.type === "call" ? "answer" : "open";
  const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (open.length) {
    open[0].postMessage({ action, push });
    await open[0].focus();
    return;
  }
  const query = push.call_id ? `?${action}=${encodeURIComponent(push.call_id)}` : "";
  await self.clients.openWindow(new URL(`./${query}`, self.registration.scope));
}

// The browser has changed the subscription by itself: the server has to know the new one.
async function resubscribed(event) {
  const options = event.oldSubscription && event.oldSubscription.options;
  const subscription =
    event.newSubscription || (options && (await self.registration.pushManager.subscribe(options)));
  if (subscription) {
    await renewAll("service-worker", [targetOf(subscription)]);
  }
}

function targetOf(subscription) {
  const { endpoint, keys } = subscription.toJSON();
  return { provider: "webpush", purposes: ["call", "notice"], endpoint, p256dh: keys.p256dh, auth: keys.auth };
}

// True where every account of this browser lives on.
async function renewAll(cause, targets) {
  const all = await registrations();
  const answers = await Promise.all(all.map((one) => ask(one, "POST", "/renew", { cause, targets })));
  return all.length > 0 && answers.every((answer) => answer && answer.ok);
}

async function report(push, kind) {
  const registration = await find(push.registration);
  const now = Math.floor(Date.now() / 1000);
  if (registration && push.id) {
    await ask(registration, "POST", "/receipts", [{ push_id: push.id, kind, received_at: now }]);
  }
}

// Never throws: what fails here is no reason to show nothing.
async function ask(registration, method, path, body) {
  if (!registration) {
    return null;
  }
  const url = `${registration.api}/v1/push-registrations/${registration.id}${path}`;
  const headers = { authorization: `Bearer ${registration.secret}`, "content-type": "application/json" };
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    return await fetch(url, { method, headers, body: JSON.stringify(body), signal });
  } catch {
    return null;
  }
}

async function find(id) {
  const all = await registrations();
  return all.find((one) => one.id === id);
}

// What the page has enrolled: {id, secret, api} for each account.
function registrations() {
  return new Promise((resolve) => {
    const opening = indexedDB.open("wakerobin", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("registrations", { keyPath: "id" });
    opening.onerror = () => resolve([]);
    opening.onsuccess = () => {
      const database = opening.result;
      const all = database.transaction("registrations").objectStore("registrations").getAll();
      all.onsuccess = () => resolve(all.result);
      all.onerror = () => resolve([]);
      all.transaction.oncomplete = () => database.close();
    };
  });
}
