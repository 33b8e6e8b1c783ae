// Starts npm's web-push-testing on one address: node webpush_testing.cjs MODULES ADDRESS PORT
"use strict";

const { createRequire } = require("node:module");

const [modules, address, port] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { PushApiModel } = load("web-push-testing/src/PushApiModel.js");
const Server = load("web-push-testing/src/server.js");

const server = new Server(new PushApiModel(), Number(port));
const app = server._app;
const listen = app.listen.bind(app);
app.listen = (number, ready) => listen(number, address, ready);
server.startServer();
