// Follows the table of proto/scenario/README.md with the installed client.
import { createHash, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { DescMessage, JsonObject, JsonValue, MessageShape } from "@bufbuild/protobuf";
import { fromJson, toJson } from "@bufbuild/protobuf";
import { durationMs, TimestampSchema, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ExecuteRequest, ExecutionStream, Run, SandkeeperClient } from "@sandkeeper/client";
import {
  CodeErrorSchema,
  CostRecordSchema,
  CreateSandboxRequestSchema,
  connect,
  DeleteLimitRequestSchema,
  ExecuteRequestSchema,
  FileInfoSchema,
  FinishedSchema,
  GetQuotaRequestSchema,
  GetQuotaResponseSchema,
  GetSandboxRequestSchema,
  GetSandboxUsageRequestSchema,
  LimitSchema,
  ListDirectoryRequestSchema,
  ListDirectoryResponseSchema,
  QuotaExceededError,
  SandboxSchema,
  SandboxUsageSchema,
  SandkeeperError,
  SetLimitRequestSchema,
  StatRequestSchema,
  StatResponseSchema,
  StatusCode,
  TerminateSandboxRequestSchema,
} from "@sandkeeper/client";

interface Step {
  name: string;
  action: "call" | "execute" | "attach" | "upload" | "download" | "costs";
  arguments: Record<string, JsonValue>;
  target?: "cut";
  key?: string;
  expect?: JsonObject;
  expectError?: JsonObject;
  save?: Record<string, string>;
}

/** What an action brings, as JSON; undefined is nothing. */
type Result = { [field: string]: Result | JsonValue | undefined };

/** Makes a call of the contract out of a method of the client. */
function call<I extends DescMessage>(
  input: I,
  method: (client: SandkeeperClient, request: MessageShape<I>) => Promise<Result>,
): (client: SandkeeperClient, request: JsonValue) => Promise<Result> {
  return (client, request) => method(client, fromJson(input, request));
}

const CALLS: Record<string, (client: SandkeeperClient, request: JsonValue) => Promise<Result>> = {
  CreateSandbox: call(CreateSandboxRequestSchema, async (client, { timeout, ...request }) => ({
    sandbox: toJson(
      SandboxSchema,
      await client.createSandbox({ ...request, timeoutMs: timeout && durationMs(timeout) }),
    ),
  })),
  GetSandbox: call(GetSandboxRequestSchema, async (client, { sandboxId }) => ({
    sandbox: toJson(SandboxSchema, await client.getSandbox(sandboxId)),
  })),
  TerminateSandbox: call(TerminateSandboxRequestSchema, async (client, { sandboxId, grace }) => ({
    sandbox: toJson(SandboxSchema, await client.terminateSandbox(sandboxId, grace && durationMs(grace))),
  })),
  GetSandboxUsage: call(GetSandboxUsageRequestSchema, async (client, { sandboxId }) => ({
    usage: toJson(SandboxUsageSchema, await client.getUsage(sandboxId)),
  })),
  SetLimit: call(SetLimitRequestSchema, async (client, request) => ({
    limit: toJson(LimitSchema, await client.setLimit(request)),
  })),
  DeleteLimit: call(DeleteLimitRequestSchema, async (client, { limitId }) => {
    await client.deleteLimit(limitId);
    return {};
  }),
  GetQuota: call(
    GetQuotaRequestSchema,
    async (client, request) => toJson(GetQuotaResponseSchema, await client.quotas.getQuota(request)) as Result,
  ),
  ListDirectory: call(
    ListDirectoryRequestSchema,
    async (client, request) => toJson(ListDirectoryResponseSchema, await client.files.listDirectory(request)) as Result,
  ),
  Stat: call(
    StatRequestSchema,
    async (client, request) => toJson(StatResponseSchema, await client.files.stat(request)) as Result,
  ),
};

function perform(client: SandkeeperClient, step: Step): Promise<Result> {
  const given = step.arguments;
  const text = (name: string) => String(given[name]);
  switch (step.action) {
    case "call": {
      const method = CALLS[text("method")];
      if (method === undefined) {
        throw new Error(`this runner has no method ${text("method")}`);
      }
      return method(client, given.request ?? {});
    }
    case "execute":
      return follow(execute(client, fromJson(ExecuteRequestSchema, given.request ?? {})));
    case "attach":
      return follow(client.attach(text("executionId"), BigInt(text("afterSequence"))));
    case "upload":
      return upload(client, text("sandboxId"), text("path"), Number(given.size));
    case "download":
      return download(client, text("sandboxId"), text("path"), given.offset, given.length);
    case "costs":
      return costs(client, text("sandboxId"));
  }
}

function execute(client: SandkeeperClient, { run, deadline, ...request }: ExecuteRequest): ExecutionStream {
  return client.execute({ ...request, ...what(run), deadlineMs: deadline && durationMs(deadline) });
}

function what(run: ExecuteRequest["run"]): Run {
  if (run.case === "code") {
    return { code: run.value.source, language: run.value.language };
  }
  const { argv = [], shell = "" } = run.value ?? {};
  return shell === "" ? { argv } : { shell };
}

async function follow(stream: ExecutionStream): Promise<Result> {
  const result: Result = {};
  const stdout: Uint8Array[] = [];
  const stderr: Uint8Array[] = [];
  const sequences: bigint[] = [];
  for await (const { event, sequence } of stream) {
    sequences.push(sequence);
    switch (event.case) {
      case "started":
        result.executionId = event.value.executionId;
        break;
      case "stdout":
        stdout.push(event.value.data);
        break;
      case "stderr":
        stderr.push(event.value.data);
        break;
      case "result":
        result.result = Buffer.from(event.value.data["text/plain"] ?? []).toString();
        break;
      case "error":
        result.error = toJson(CodeErrorSchema, event.value);
        break;
      case "finished": {
        const { reason, exitCode, signal } = toJson(FinishedSchema, event.value) as JsonObject;
        Object.assign(result, { reason, exitCode, signal });
      }
    }
  }
  const out = Buffer.concat(stdout);
  return {
    ...result,
    stdout: out.toString(),
    stderr: Buffer.concat(stderr).toString(),
    stdoutBytes: String(out.length),
    stdoutSha256: sha256(out),
    firstSequence: String(sequences[0]),
    lastSequence: String(sequences.at(-1)),
    gaps: sequences.filter((sequence, i) => i > 0 && sequence !== (sequences[i - 1] ?? 0n) + 1n).length,
    reattachments: stream.reattachments,
  };
}

async function upload(client: SandkeeperClient, sandboxId: string, path: string, size: number): Promise<Result> {
  const bytes = Uint8Array.from({ length: size }, (_, i) => (31 * i + 7) % 251);
  const { file } = await client.upload(sandboxId, path, bytes);
  return file === undefined ? {} : (toJson(FileInfoSchema, file) as Result);
}

async function download(
  client: SandkeeperClient,
  sandboxId: string,
  path: string,
  offset: JsonValue = 0,
  length: JsonValue = 0,
): Promise<Result> {
  const bytes = await client.download(sandboxId, path, {
    offset: BigInt(String(offset)),
    length: BigInt(String(length)),
  });
  return { bytes: String(bytes.length), sha256: sha256(bytes) };
}

async function costs(client: SandkeeperClient, sandboxId: string): Promise<Result> {
  const records = [];
  let pageToken = "";
  do {
    const page = await client.listCostRecords({ sandboxId, pageToken });
    records.push(...page.costRecords);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return {
    count: records.length,
    sumNanoUsd: String(records.reduce((sum, { amountNanoUsd }) => sum + amountNanoUsd, 0n)),
    records: records.map((record) => toJson(CostRecordSchema, record)),
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function describe(error: SandkeeperError): Result {
  const code = error.code === StatusCode.Canceled ? "CANCELLED" : StatusCode[error.code];
  const quota = error instanceof QuotaExceededError ? error : undefined;
  return {
    code: code.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase(),
    reason: error.reason,
    metadata: { ...error.metadata },
    violations: error.violations.map(({ field, description }) => ({ field, description })),
    limitId: quota?.limitId,
    remainingNanoUsd: quota?.remainingNanoUsd.toString(),
    resetTime: quota?.resetTime && toJson(TimestampSchema, timestampFromDate(quota.resetTime)),
  };
}

/** Puts saved values into every string of a part of a step. */
function filled<T>(part: T, values: ReadonlyMap<string, string>): T {
  const fill = (_: string, value: unknown) =>
    typeof value === "string"
      ? value.replace(/\$\{(\w+)\}/g, (_, name: string) => {
          const saved = values.get(name);
          if (saved === undefined) {
            throw new Error(`nothing was saved as ${name}`);
          }
          return saved;
        })
      : value;
  return JSON.parse(JSON.stringify(part, fill)) as T;
}

function at(result: Result, path: string): unknown {
  return path.split(".").reduce<unknown>((part, name) => {
    return part !== null && typeof part === "object" ? (part as Record<string, unknown>)[name] : undefined;
  }, result);
}

function holds(expected: JsonValue, got: unknown): boolean {
  if (expected === null || typeof expected !== "object") {
    return expected === (got ?? null);
  }
  if ("matches" in expected) {
    return typeof got === "string" && new RegExp(String(expected.matches)).test(got);
  }
  if ("atLeast" in expected) {
    return (typeof got === "string" || typeof got === "number") && Number(got) >= Number(expected.atLeast);
  }
  throw new Error(`no such expectation: ${JSON.stringify(expected)}`);
}

class Difference extends Error {}

function compare(result: Result, expected: JsonObject): void {
  for (const [path, value] of Object.entries(expected)) {
    const got = at(result, path);
    if (!holds(value, got)) {
      throw new Difference(`${path}: expected ${JSON.stringify(value)}, got ${JSON.stringify(got)}`);
    }
  }
}

async function take(step: Step, client: SandkeeperClient, values: Map<string, string>): Promise<void> {
  const { expect, expectError } = filled({ expect: step.expect, expectError: step.expectError }, values);
  let result: Result;
  try {
    result = await perform(client, filled(step, values));
  } catch (e) {
    if (expectError === undefined || !(e instanceof SandkeeperError)) {
      throw e;
    }
    compare(describe(e), expectError);
    return;
  }
  if (expect === undefined) {
    throw new Difference(`: expected an error, got ${JSON.stringify(result)}`);
  }
  compare(result, expect);
  for (const [name, path] of Object.entries(step.save ?? {})) {
    values.set(name, String(at(result, path)));
  }
}

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) {
    throw new Error(`${name} is not set`);
  }
  return value;
}

const [table = ""] = process.argv.slice(2);
const { steps } = JSON.parse(await readFile(table, "utf8")) as { steps: Step[] };
const values = new Map([["run", randomUUID()]]);
for (const step of steps) {
  const client = connect({
    target: variable(step.target === "cut" ? "SANDKEEPER_CUT_TARGET" : "SANDKEEPER_TARGET"),
    apiKey: step.key ?? variable("SANDKEEPER_KEY"),
    tls: false,
  });
  try {
    await take(step, client, values);
    console.log(`ok ${step.name}`);
  } catch (e) {
    console.log(`failed ${step.name}: ${e instanceof Difference ? e.message : e}`);
    process.exit(1);
  } finally {
    client.close();
  }
}
console.log(`${steps.length} passed, 0 failed`);
