// Opens pages in Chromium and lets them call a live server. See deploy/browser-test for what it needs.
import assert from "node:assert/strict";
import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const env = (name) => process.env[name] ?? assert.fail(`${name} is not set`);
const port = Number(env("SANDKEEPER_PAGE_PORT"));
const server = {
  target: env("SANDKEEPER_TARGET"),
  key: env("SANDKEEPER_KEY"),
  descriptors: readFileSync(env("SANDKEEPER_DESCRIPTORS")).toString("base64"),
};

/** How many bytes of each stream of events get through before the relay cuts it. */
const CUT_AFTER = 20_000;

let pages;
let browser;
let profile;
let page;
let relayed = [];

/** Serves the page, and under /relay what an application's own server would: the API with the key. */
function servePages(script) {
  const listener = (incoming, outgoing) => {
    if (incoming.url === "/") {
      outgoing.setHeader("content-type", "text/html");
      outgoing.end(`<!doctype html><title>test</title><script>${script}</script>`);
    } else if (incoming.url.startsWith("/relay/")) {
      relay(incoming, outgoing);
    } else {
      outgoing.writeHead(404).end();
    }
  };
  return new Promise((resolve) => {
    const started = createServer(listener).listen(port, () => resolve(started));
  });
}

function relay(incoming, outgoing) {
  const lastEventId = incoming.headers["last-event-id"];
  const headers = { authorization: `Bearer ${server.key}` };
  if (lastEventId !== undefined) {
    headers["last-event-id"] = lastEventId;
  }
  const call = httpRequest(`${server.target}${incoming.url.slice("/relay".length)}`, { headers });
  call.on("response", (answer) => {
    relayed.push({ lastEventId, status: answer.statusCode });
    outgoing.writeHead(answer.statusCode, answer.headers);
    let bytes = 0;
    answer.on("data", (chunk) => {
      const part = chunk.subarray(0, CUT_AFTER - bytes);
      bytes += part.length;
      if (bytes < CUT_AFTER) {
        outgoing.write(part);
      } else {
        call.destroy();
        outgoing.write(part, () => outgoing.destroy());
      }
    });
    answer.on("end", () => outgoing.end());
    answer.on("error", () => {});
  });
  call.on("error", () => outgoing.destroy());
  outgoing.on("close", () => call.destroy());
  call.end();
}

before(async () => {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL("page.js", import.meta.url))],
    bundle: true,
    format: "iife",
    write: false,
  });
  pages = await servePages(bundle.outputFiles[0].text);
  profile = mkdtempSync(join(tmpdir(), "browser-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: env("CHROMIUM"),
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${port}/`);
});

after(async () => {
  await browser?.close();
  pages?.closeAllConnections();
  pages?.close();
  if (profile) {
    rmSync(profile, { recursive: true, force: true });
  }
});

const run = (name, ...values) =>
  page.evaluate(([name, values]) => globalThis.page[name](...values), [name, values]);

/** Creates a sandbox that ends with the test. */
async function createSandbox(t) {
  const sandbox = await run("createSandbox", server);
  t.after(() => run("terminateSandbox", server, sandbox));
  return sandbox;
}

test("a page creates a sandbox and sees its output arrive by gRPC-Web", async (t) => {
  const sandbox = await createSandbox(t);

  const { seen, stdout } = await run("streamOverGrpcWeb", server, sandbox);

  assert.equal(stdout, "begun\nopened\n");
  assert.deepEqual(seen, ["started", "stdout", "stdout", "finished"]);
});

test("a page reads why a call was refused", async () => {
  const refusal = await run("refusal", server);

  assert.equal(refusal.code, 5);
  assert.match(refusal.message, /no such sandbox/i);
  assert.ok(refusal.details > 0);
});

test("EventSource goes on behind each cut and stops at the end", async (t) => {
  const sandbox = await createSandbox(t);
  const execution = await run("executeMuch", server, sandbox, 400);
  relayed = [];

  const events = await run("followByEventSource", `/relay/v1/executions/${execution}/events`);

  assert.deepEqual(
    events.map((event) => event.id),
    events.map((_, index) => index + 1),
  );
  assert.equal(events[0].kind, "started");
  assert.equal(events.at(-1).kind, "finished");
  const stdout = events
    .filter((event) => event.kind === "stdout")
    .map((event) => Buffer.from(JSON.parse(event.data).stdout.data, "base64").toString())
    .join("");
  assert.equal(stdout, Array.from({ length: 400 }, (_, index) => `${index + 1}\n`).join(""));
  assert.ok(relayed.length > 2, `${relayed.length} connections`);
  assert.equal(relayed[0].lastEventId, undefined);
  assert.deepEqual(relayed.at(-1), { lastEventId: String(events.length), status: 204 });
});

test("a page of another origin reads server-sent events by fetch", async (t) => {
  const sandbox = await createSandbox(t);

  assert.deepEqual(await run("executeByFetch", server, sandbox), ["started", "result", "finished"]);
});

test("a page of an origin that is not allowed is refused", async () => {
  assert.equal(await run("attempt", server), 200);
  const other = await browser.newPage();
  await other.goto(`http://localhost:${port}/`);

  const outcome = await other.evaluate((target) => globalThis.page.attempt(target), server);

  assert.equal(outcome, "TypeError");
});
