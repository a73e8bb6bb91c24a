import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** A field of a request that the server did not accept. */
export interface FieldViolation {
  /** The path of the field, such as `resources.cpu_cores`; empty for the message as a whole. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

interface Details {
  readonly code: Code;
  readonly reason: string;
  readonly text: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryDelayMs: number | undefined;
  readonly cause: unknown;
}

/**
 * A call that was refused or failed.
 *
 * A program that fails is not one: that is a `finished` event with its exit code.
 */
export class SandkeeperError extends Error {
  override readonly name: string = "SandkeeperError";
  /** The canonical code of gRPC. A connection that broke or was never made is `StatusCode.Unavailable`. */
  readonly code: Code;
  /** The reason, such as `QUOTA_EXCEEDED`; the code's name when the failure is not the server's own. */
  readonly reason: string;
  /** The varying parts of the message by lower camel case keys. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that were not accepted; empty unless the request was invalid. */
  readonly violations: readonly FieldViolation[];
  /** After how many milliseconds another try may succeed; undefined when waiting does not help. */
  readonly retryDelayMs: number | undefined;

  constructor(details: Details) {
    super(describe(details), { cause: details.cause });
    this.code = details.code;
    this.reason = details.reason;
    this.metadata = details.metadata;
    this.violations = details.violations;
    this.retryDelayMs = details.retryDelayMs;
  }
}

/** A refusal because a limit has not enough left. Amounts of money are in nano-USD: 1 USD is 1,000,000,000. */
export class QuotaExceededError extends SandkeeperError {
  override readonly name = "QuotaExceededError";
  /** The limit that refused; of several, the one that resets last. */
  readonly limitId: string;
  /** What it limits, such as ALL_SPEND or CONCURRENT_SANDBOXES. */
  readonly resource: string;
  /** What is left of a limit of money. */
  readonly remainingNanoUsd: bigint;
  /** What the call needed of a limit of money. */
  readonly neededNanoUsd: bigint;
  /** What is left of a limit of sandboxes, cores or MiB. */
  readonly remaining: bigint;
  /** When its next period begins; undefined for a limit that never resets. */
  readonly resetTime: Date | undefined;

  constructor(details: Details) {
    super(details);
    const { limitId = "", resource = "", remaining = "0", resetTime } = details.metadata;
    const { remainingNanoUsd = "0", neededNanoUsd = "0" } = details.metadata;
    this.limitId = limitId;
    this.resource = resource;
    this.remaining = BigInt(remaining);
    this.remainingNanoUsd = BigInt(remainingNanoUsd);
    this.neededNanoUsd = BigInt(neededNanoUsd);
    this.resetTime = resetTime === undefined ? undefined : new Date(resetTime);
  }
}

/** What a connection that breaks shows itself as. The server's own refusals carry ErrorInfo and are told by that. */
const LOST_CONNECTION: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.Internal,
  Code.Unknown,
]);

/** How the transport words a message that cannot be written or read; another try would not help. */
const BAD_MESSAGE = /^(serialize|parse) binary: /;

/**
 * Turns what a transport throws into the error that callers see. Details of unknown types are passed over: newer
 * servers may add some.
 *
 * @param cancelled whether the caller had cancelled the call, which then did not break by itself
 */
export function toSandkeeperError(thrown: unknown, cancelled: boolean): SandkeeperError {
  if (thrown instanceof SandkeeperError) {
    return thrown;
  }
  const failure = ConnectError.from(thrown);
  const info = failure.findDetails(ErrorInfoSchema)[0];
  const lost =
    info === undefined && !cancelled && LOST_CONNECTION.has(failure.code) && !BAD_MESSAGE.test(failure.rawMessage);
  const code = lost ? Code.Unavailable : failure.code;
  const delay = failure.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const details: Details = {
    code,
    reason: info?.reason ?? codeName(code),
    text: failure.rawMessage,
    metadata: info?.metadata ?? {},
    violations: failure
      .findDetails(BadRequestSchema)
      .flatMap((request) => request.fieldViolations)
      .map(({ field, description }) => ({ field, description })),
    retryDelayMs: delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    cause: thrown,
  };
  return details.reason === "QUOTA_EXCEEDED" ? new QuotaExceededError(details) : new SandkeeperError(details);
}

/** Makes the error for a failure that the client itself found. */
export function localError(code: Code, text: string): SandkeeperError {
  return new SandkeeperError({
    code,
    reason: codeName(code),
    text,
    metadata: {},
    violations: [],
    retryDelayMs: undefined,
    cause: undefined,
  });
}

function describe({ code, reason, text, metadata, violations }: Details): string {
  const name = codeName(code);
  let line = reason === name ? name : `${name} ${reason}`;
  if (text !== "") {
    line += `: ${text}`;
  }
  const figures = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  if (figures.length > 0) {
    line += ` {${figures.sort().join(", ")}}`;
  }
  return violations.reduce((before, { field, description }) => `${before}; ${field}: ${description}`, line);
}

/** The canonical name of a code, such as `RESOURCE_EXHAUSTED`; gRPC spells this one of them its own way. */
function codeName(code: Code): string {
  return code === Code.Canceled ? "CANCELLED" : Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}
