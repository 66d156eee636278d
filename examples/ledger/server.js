// The example for Node: run `node server.js` with PORT set. Answers as shop.py does.
"use strict";
const crypto = require("node:crypto");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");

const APP = process.env.NOREN_APP || "ledger";
const RELEASE = process.env.NOREN_RELEASE || "0";
const LEDGER = path.join(process.env.NOREN_DATA || ".", "ledger");
const BLOCK = crypto.createHash("shake128", { outputLength: 65536 }).update("noren").digest();

// A fault is switched on by the environment, or by the release itself: a line NAME=VALUE in the file `faults`.
function fault(name) {
  const file = path.join(__dirname, "faults");
  const lines = fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n") : [];
  const line = lines.find((text) => text.startsWith(`${name}=`));
  return process.env[name] || (line ? line.slice(name.length + 1) : "");
}

const FAIL_RATE = Number(fault("FAIL_RATE"));
const HANG = Number(fault("HANG")) * 1000;
const HOSTS = fault("HOST_CHECK").split(",").filter(Boolean);
const exitIn = (seconds) => setTimeout(() => process.kill(process.pid, "SIGKILL"), seconds * 1000).unref();
let asked = false;

function trouble(pathname, host) {
  if (HOSTS.length && !HOSTS.includes(host.split(":")[0])) return [400, `bad host ${host}`];
  if (pathname === "/healthz") return fault("NEVER_READY") ? [503, "not ready"] : [200, "ok"];
  if (!asked && fault("EXIT_AFTER")) exitIn(Number(fault("EXIT_AFTER")));
  asked = true;
  return Math.random() < FAIL_RATE ? [500, "FAIL_RATE"] : null;
}

function send(response, status, content, headers = {}) {
  const length = status === 304 ? {} : { "Content-Length": Buffer.byteLength(content) };
  response.writeHead(status, { ...headers, ...length }).end(content);
}

function page(request, response, pathname) {
  const content = JSON.stringify({ app: APP, release: RELEASE, path: pathname });
  const etag = `"${crypto.createHash("sha256").update(content).digest("hex").slice(0, 16)}"`;
  if (request.headers["if-none-match"] === etag) return send(response, 304, "", { ETag: etag });
  return send(response, 200, content, { ETag: etag, "Content-Type": "application/json" });
}

async function order(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const { id } = JSON.parse(Buffer.concat(parts));
  fs.appendFileSync(LEDGER, `${id} ${RELEASE}\n`); // opens with O_APPEND, one write
  const content = JSON.stringify({ app: APP, release: RELEASE, id });
  send(response, 201, content, { "Content-Type": "application/json" });
}

async function upload(request, response) {
  const digest = crypto.createHash("sha256");
  for await (const part of request) digest.update(part);
  const content = JSON.stringify({ release: RELEASE, sha256: digest.digest("hex") });
  send(response, 200, content, { "Content-Type": "application/json" });
}

function* blocks(size) {
  for (let start = 0; start < size; start += BLOCK.length) yield BLOCK.subarray(0, size - start);
}

async function download(request, response, url) {
  const size = Number(url.searchParams.get("size") || 1000);
  const digest = crypto.createHash("sha256");
  for (const block of blocks(size)) digest.update(block);
  response.writeHead(200, { "Content-Length": size, "X-Sha256": digest.digest("hex") });
  for (const block of blocks(size)) {
    if (!response.write(block)) await new Promise((resume) => response.once("drain", resume));
  }
  response.end();
}

async function stream(request, response, url) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  for (let number = 0; number < Number(url.searchParams.get("n") || 10); number++) {
    response.write(`id: ${number}\ndata: ${APP}@${RELEASE}\n\n`);
    await sleep(Number(url.searchParams.get("interval") || 0.1) * 1000);
  }
  response.end();
}

const LONG = { "/upload": upload, "/download": download, "/stream": stream };

async function handle(request, response) {
  const url = new URL(request.url, "http://app");
  if (HANG && url.pathname !== "/healthz") await sleep(HANG);
  const wrong = trouble(url.pathname, request.headers.host || "");
  if (wrong) return send(response, ...wrong, { "Content-Type": "text/plain" });
  if (LONG[url.pathname]) return LONG[url.pathname](request, response, url);
  if (url.pathname === "/orders" && request.method === "POST") return order(request, response);
  if (["/", "/hello"].includes(url.pathname)) return page(request, response, url.pathname);
  return send(response, 404, `no ${request.method} ${url.pathname}`, { "Content-Type": "text/plain" });
}

async function main() {
  await sleep(Number(fault("SLOW_START")) * 1000);
  if (fault("FORK_CHILD")) spawn("sleep", [fault("FORK_CHILD")], { detached: true, stdio: "ignore" }).unref();
  if (fault("EXIT_AFTER_START")) exitIn(Number(fault("EXIT_AFTER_START")));
  http.createServer(handle).listen(Number(process.env.PORT), "127.0.0.1");
}

main();
