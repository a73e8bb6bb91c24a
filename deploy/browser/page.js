// What the page can do. It is bundled for the browser, and the test calls it through the global `page`.
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

/** Returns a gRPC-Web client of SandboxService, made from the contract's descriptors. */
function sandboxService({ target, key, descriptors }) {
  const files = fromBinary(FileDescriptorSetSchema, base64Decode(descriptors));
  const service = createFileRegistry(files).getService("sandkeeper.v1.SandboxService");
  const authorize = (next) => (request) => {
    request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl: target, interceptors: [authorize] });
  return createClient(service, transport);
}

async function createSandbox(server) {
  const { sandbox } = await sandboxService(server).createSandbox({ timeout: { seconds: 120n } });
  return sandbox.sandboxId;
}

async function terminateSandbox(server, sandboxId) {
  await sandboxService(server).terminateSandbox({ sandboxId });
}

/** Runs a line that waits for a file; the page makes the file once it has seen the first output. */
async function streamOverGrpcWeb(server, sandboxId) {
  const client = sandboxService(server);
  const shell = (line) =>
    client.execute({ sandboxId, run: { case: "command", value: { shell: line } } });
  const seen = [];
  let stdout = "";
  for await (const { event } of shell("mkfifo gate; echo begun; read line <gate; echo $line")) {
    seen.push(event.event.case);
    if (event.event.case === "stdout") {
      stdout += new TextDecoder().decode(event.event.value.data);
      if (stdout === "begun\n") {
        for await (const _ of shell("echo opened >gate"));
      }
    }
  }
  return { seen: seen.filter((kind) => kind !== "heartbeat"), stdout };
}

/** Returns the code and the reason that a call is refused with. */
async function refusal(server) {
  try {
    await sandboxService(server).getSandbox({ sandboxId: "a".repeat(20) });
    return "none";
  } catch (error) {
    return { code: error.code, message: error.rawMessage, details: error.details.length };
  }
}

/** Follows events as the browser does it by itself, until the server says that there are no more. */
function followByEventSource(url) {
  return new Promise((resolve) => {
    const events = [];
    const source = new EventSource(url);
    const add = (message) =>
      events.push({ id: Number(message.lastEventId), kind: message.type, data: message.data });
    for (const kind of ["started", "stdout", "stderr", "finished"]) {
      source.addEventListener(kind, add);
    }
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        resolve(events);
      }
    };
  });
}

/** Reads server-sent events of another origin by fetch, which can send a key. */
async function executeByFetch({ target, key }, sandboxId) {
  const response = await fetch(`${target}/v1/sandboxes/${sandboxId}/execute`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ code: { language: "LANGUAGE_PYTHON", source: "6 * 7" } }),
  });
  const text = await response.text();
  return text.split("\n").filter((line) => line.startsWith("event: ")).map((line) => line.slice(7));
}

/** Returns an execution that is over and printed many lines. */
async function executeMuch(server, sandboxId, lines) {
  const command = { shell: `for i in $(seq ${lines}); do echo $i; sleep 0.001; done` };
  let executionId = "";
  const request = { sandboxId, run: { case: "command", value: command } };
  for await (const { event } of sandboxService(server).execute(request)) {
    if (event.event.case === "started") {
      executionId = event.event.value.executionId;
    }
  }
  return executionId;
}

/** Says what a call of a page ends with: an answer, or an error that the browser made. */
async function attempt({ target, key }) {
  try {
    const response = await fetch(`${target}/v1/sandboxes`, {
      headers: { authorization: `Bearer ${key}` },
    });
    return response.status;
  } catch (error) {
    return error.name;
  }
}

globalThis.page = {
  attempt,
  createSandbox,
  executeByFetch,
  executeMuch,
  followByEventSource,
  refusal,
  streamOverGrpcWeb,
  terminateSandbox,
};
