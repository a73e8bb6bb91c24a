import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Client as Stub, Transport } from "@connectrpc/connect";
import { Code, createClient } from "@connectrpc/connect";
import { Cancellation } from "./cancellation.js";
import { localError } from "./errors.js";
import type { FollowOptions, Open } from "./execution.js";
import { ExecutionStream } from "./execution.js";
import { AdminService } from "./gen/sandkeeper/v1/admin_service_pb.js";
import { AuditService } from "./gen/sandkeeper/v1/audit_service_pb.js";
import { ContextService } from "./gen/sandkeeper/v1/context_service_pb.js";
import type { ListCostRecordsRequestSchema, ListCostRecordsResponse } from "./gen/sandkeeper/v1/cost_service_pb.js";
import { CostService } from "./gen/sandkeeper/v1/cost_service_pb.js";
import { EngineService } from "./gen/sandkeeper/v1/engine_service_pb.js";
import type { Language } from "./gen/sandkeeper/v1/execution_pb.js";
import { ExecutionService } from "./gen/sandkeeper/v1/execution_service_pb.js";
import { FileService } from "./gen/sandkeeper/v1/file_service_pb.js";
import { PricingService } from "./gen/sandkeeper/v1/pricing_service_pb.js";
import type { Limit, SetLimitRequestSchema } from "./gen/sandkeeper/v1/quota_service_pb.js";
import { QuotaService } from "./gen/sandkeeper/v1/quota_service_pb.js";
import type { Sandbox, SandboxUsage } from "./gen/sandkeeper/v1/sandbox_pb.js";
import type { CreateSandboxRequestSchema } from "./gen/sandkeeper/v1/sandbox_service_pb.js";
import { ExecuteRequestSchema, SandboxService } from "./gen/sandkeeper/v1/sandbox_service_pb.js";
import { SecretService } from "./gen/sandkeeper/v1/secret_service_pb.js";
import { TemplateService } from "./gen/sandkeeper/v1/template_service_pb.js";
import { WebhookService } from "./gen/sandkeeper/v1/webhook_service_pb.js";
import { retry } from "./retry.js";
import { ClosableTransport } from "./transport.js";

/** How calls are made, over whatever connection. */
export interface CallOptions {
  /** How long a call that is not a stream may take, with its repetitions, in milliseconds. Absent: 30,000. */
  callTimeoutMs?: number;
  /** How long a broken stream is tried again without progress, in milliseconds; 0: not at all. Absent: 60,000. */
  giveUpAfterMs?: number;
}

/** The fields of a request, without some. */
type Fields<Schema extends DescMessage, Without extends string> = Omit<
  MessageInitShape<Schema>,
  "$typeName" | "$unknown" | Without
>;

/** What a sandbox is to be. The other fields are those of the contract's CreateSandboxRequest. */
export type CreateSandboxOptions = Fields<typeof CreateSandboxRequestSchema, "timeout"> & {
  /** How long the sandbox may live, 1,000 to 86,400,000 milliseconds. Absent: 60,000. */
  timeoutMs?: number;
};

/** What to run: a program with its arguments, a line for the shell, or a piece of code. */
export type Run =
  | { argv: string[]; shell?: never; code?: never; language?: never }
  | { shell: string; argv?: never; code?: never; language?: never }
  | { code: string; language: Language; argv?: never; shell?: never };

/** What to run, where and how. The other fields are those of the contract's ExecuteRequest. */
export type ExecuteOptions = Run &
  FollowOptions &
  Fields<typeof ExecuteRequestSchema, "sandboxId" | "run" | "stdin" | "deadline"> & {
    /** The sandbox to run in. */
    sandboxId: string;
    /** What the program reads from its standard input, at most 10 MiB. Only for commands and Bash. */
    stdin?: Uint8Array | string;
    /** How long it may run, 1 to 86,400,000 milliseconds; then its whole process tree is ended. Absent: 300,000. */
    deadlineMs?: number;
  };

/** What a download is of. */
export interface DownloadOptions {
  /** How many bytes to skip. Absent: none. */
  offset?: bigint;
  /** How many bytes to read at most. Absent: to the end. */
  length?: bigint;
  /** Ends the call. */
  signal?: AbortSignal;
}

/**
 * A connection to Sandkeeper.
 *
 * Every method throws SandkeeperError when its call is refused or fails. Calls that are safe to repeat are tried up to
 * three times while the server is UNAVAILABLE, within the time of the call. The stubs give every other call of the
 * contract as it is, without repetition, and throw the same errors.
 */
export class Client {
  /** Creates, runs and ends sandboxes. */
  readonly sandboxes: Stub<typeof SandboxService>;
  /** Looks at executions and signals them. */
  readonly executions: Stub<typeof ExecutionService>;
  /** Reads and writes files. */
  readonly files: Stub<typeof FileService>;
  /** Keeps contexts, whose variables live on. */
  readonly contexts: Stub<typeof ContextService>;
  /** Lists the templates. */
  readonly templates: Stub<typeof TemplateService>;
  /** Shows what runs the sandboxes. */
  readonly engines: Stub<typeof EngineService>;
  /** Keeps the prices. */
  readonly pricing: Stub<typeof PricingService>;
  /** Keeps the limits. */
  readonly quotas: Stub<typeof QuotaService>;
  /** Shows what was billed. */
  readonly costs: Stub<typeof CostService>;
  /** Sends alerts to webhooks. */
  readonly webhooks: Stub<typeof WebhookService>;
  /** Keeps secrets by name. */
  readonly secrets: Stub<typeof SecretService>;
  /** Shows and verifies who did what. */
  readonly audit: Stub<typeof AuditService>;
  /** Keeps tenants and API keys. */
  readonly admin: Stub<typeof AdminService>;

  readonly #transport: ClosableTransport;
  readonly #callTimeoutMs: number;
  readonly #giveUpAfterMs: number;

  /** Called by `connect`. */
  constructor(transport: Transport, options: CallOptions) {
    this.#transport = new ClosableTransport(transport);
    this.#callTimeoutMs = checked("callTimeoutMs", options.callTimeoutMs ?? 30_000, 1);
    this.#giveUpAfterMs = checked("giveUpAfterMs", options.giveUpAfterMs ?? 60_000, 0);
    this.sandboxes = createClient(SandboxService, this.#transport);
    this.executions = createClient(ExecutionService, this.#transport);
    this.files = createClient(FileService, this.#transport);
    this.contexts = createClient(ContextService, this.#transport);
    this.templates = createClient(TemplateService, this.#transport);
    this.engines = createClient(EngineService, this.#transport);
    this.pricing = createClient(PricingService, this.#transport);
    this.quotas = createClient(QuotaService, this.#transport);
    this.costs = createClient(CostService, this.#transport);
    this.webhooks = createClient(WebhookService, this.#transport);
    this.secrets = createClient(SecretService, this.#transport);
    this.audit = createClient(AuditService, this.#transport);
    this.admin = createClient(AdminService, this.#transport);
  }

  /** Creates a sandbox and returns when it is ready. */
  async createSandbox({ timeoutMs, ...options }: CreateSandboxOptions = {}): Promise<Sandbox> {
    const request = {
      ...options,
      requestId: options.requestId || crypto.randomUUID(),
      timeout: duration(timeoutMs),
    };
    return required((await this.#retry((call) => this.sandboxes.createSandbox(request, call))).sandbox);
  }

  /** Returns a sandbox, also one that has ended. */
  async getSandbox(sandboxId: string): Promise<Sandbox> {
    return required((await this.#retry((call) => this.sandboxes.getSandbox({ sandboxId }, call))).sandbox);
  }

  /**
   * Ends a sandbox and returns it as it is then; on an ended one it changes nothing.
   *
   * @param graceMs how long its processes may take after SIGTERM, 0 to 4,000 milliseconds
   */
  async terminateSandbox(sandboxId: string, graceMs = 0): Promise<Sandbox> {
    const request = { sandboxId, grace: durationFromMs(graceMs) };
    return required((await this.#retry((call) => this.sandboxes.terminateSandbox(request, call))).sandbox);
  }

  /** Returns what a sandbox used and what was booked for it, running or ended. */
  async getUsage(sandboxId: string): Promise<SandboxUsage> {
    return required((await this.#retry((call) => this.sandboxes.getSandboxUsage({ sandboxId }, call))).usage);
  }

  /** Returns a page of cost records, newest first. */
  listCostRecords(
    request: MessageInitShape<typeof ListCostRecordsRequestSchema> = {},
  ): Promise<ListCostRecordsResponse> {
    return this.#retry((call) => this.costs.listCostRecords(request, call));
  }

  /** Sets what a tenant may spend in a period, in nano-USD: 1 USD is 1,000,000,000. */
  async setLimit(request: MessageInitShape<typeof SetLimitRequestSchema>): Promise<Limit> {
    return required((await this.quotas.setLimit(request, { timeoutMs: this.#callTimeoutMs })).limit);
  }

  /** Deletes a limit; what was spent stays booked. */
  async deleteLimit(limitId: string): Promise<void> {
    await this.quotas.deleteLimit({ limitId }, { timeoutMs: this.#callTimeoutMs });
  }

  /** Runs a command or a piece of code. It starts when the first event is asked for. */
  execute(options: ExecuteOptions): ExecutionStream {
    const { stdin, deadlineMs } = options;
    const request = create(ExecuteRequestSchema, {
      ...options,
      // A whole message would be taken as it is.
      $typeName: undefined,
      requestId: options.requestId || crypto.randomUUID(),
      run: run(options),
      stdin: typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin,
      deadline: duration(deadlineMs),
    });
    const open: Open = (executionId, lastSequence, signal) =>
      executionId === ""
        ? this.sandboxes.execute(request, { signal })
        : this.sandboxes.attachExecution({ executionId, afterSequence: lastSequence }, { signal });
    return new ExecutionStream(open, this.#giveUpAfterMs, "", 0n, options);
  }

  /**
   * Follows an execution that was started before.
   *
   * @param afterSequence the number of the last event already had; 0 for all
   */
  attach(executionId: string, afterSequence = 0n, options: FollowOptions = {}): ExecutionStream {
    const open: Open = (_, lastSequence, signal) =>
      this.sandboxes.attachExecution({ executionId, afterSequence: lastSequence }, { signal });
    return new ExecutionStream(open, this.#giveUpAfterMs, executionId, afterSequence, options);
  }

  /** Reads a file into memory. The server's limit, 50 MB by default, bounds it. */
  async download(sandboxId: string, path: string, options: DownloadOptions = {}): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.downloadStream(sandboxId, path, options)) {
      chunks.push(chunk);
    }
    const whole = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
    let end = 0;
    for (const chunk of chunks) {
      whole.set(chunk, end);
      end += chunk.length;
    }
    return whole;
  }

  /** Reads a file as it comes, no faster than it is taken. */
  async *downloadStream(sandboxId: string, path: string, options: DownloadOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset = 0n, length = 0n } = options;
    const call = new Cancellation(options.signal);
    try {
      for await (const { part } of this.files.readFile({ sandboxId, path, offset, length }, { signal: call.signal })) {
        if (part.case === "data") {
          yield part.value;
        }
      }
    } finally {
      call.cancel();
    }
  }

  /** Ends every call that is under way. Sandboxes and executions live on. */
  close(): void {
    this.#transport.close();
  }

  #retry<T>(call: (options: { timeoutMs: number }) => Promise<T>): Promise<T> {
    return retry(this.#callTimeoutMs, (timeoutMs) => call({ timeoutMs }));
  }
}

function duration(ms: number | undefined): Duration | undefined {
  return ms === undefined ? undefined : durationFromMs(ms);
}

function run({ argv, shell, code, language }: Run): MessageInitShape<typeof ExecuteRequestSchema>["run"] {
  if ([argv, shell, code].filter((given) => given !== undefined).length !== 1) {
    throw new TypeError("run: exactly one of argv, shell and code must be given");
  }
  return code === undefined
    ? { case: "command", value: argv === undefined ? { shell } : { argv } }
    : { case: "code", value: { source: code, language } };
}

function required<T>(part: T | undefined): T {
  if (part === undefined) {
    throw localError(Code.Internal, "the server's answer is empty");
  }
  return part;
}

function checked(name: string, ms: number, least: number): number {
  if (!(ms >= least)) {
    throw new RangeError(`${name}: ${ms} (expected: at least ${least})`);
  }
  return ms;
}
