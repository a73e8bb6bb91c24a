import { Code } from "@connectrpc/connect";
import { Backoff, pause } from "./backoff.js";
import { Cancellation } from "./cancellation.js";
import { localError, SandkeeperError } from "./errors.js";
import type { ExecutionEvent, Finished } from "./gen/sandkeeper/v1/execution_pb.js";

const MAX_WAIT_MS = 5_000;

/** A message of either kind of stream. */
interface Message {
  event?: ExecutionEvent | undefined;
}

/** Opens the stream that goes on behind what was delivered. An empty execution id: it is not known yet. */
export type Open = (executionId: string, lastSequence: bigint, signal: AbortSignal) => AsyncIterable<Message>;

/** How the events of an execution are followed. */
export interface FollowOptions {
  /** Whether heartbeats, which have no sequence number, are delivered too. Absent: they are not. */
  heartbeats?: boolean;
  /** Ends the stream, not the program; iterating then throws with `StatusCode.Canceled`. */
  signal?: AbortSignal;
}

/** Takes the output of an execution as it comes. What these return is waited for before the next event is read. */
export interface OutputHandlers {
  /** Takes bytes of standard output, cut anywhere, also within a character. */
  stdout?(data: Uint8Array): unknown;
  /** Takes bytes of standard error, cut anywhere, also within a character. */
  stderr?(data: Uint8Array): unknown;
}

/**
 * The events of an execution, each once and in order; `finished` is the last. To be read once.
 *
 * A stream that breaks is attached again by itself, behind the last event that was delivered. When there was no
 * progress for the time the client was given, iterating throws the last failure. Breaking out of the loop ends the
 * stream and leaves the program running; `client.attach(executionId, lastSequence)` goes on later.
 *
 * Events are read as they are asked for: a reader who takes its time holds the stream back.
 */
export class ExecutionStream implements AsyncIterableIterator<ExecutionEvent> {
  readonly #open: Open;
  readonly #giveUpAfterMs: number;
  readonly #heartbeats: boolean;
  readonly #call: Cancellation;
  readonly #events: AsyncGenerator<ExecutionEvent, undefined>;
  #executionId: string;
  #lastSequence: bigint;
  #finished = false;
  #reattachments = 0;

  /** Called by the client. */
  constructor(open: Open, giveUpAfterMs: number, executionId: string, lastSequence: bigint, options: FollowOptions) {
    this.#open = open;
    this.#giveUpAfterMs = giveUpAfterMs;
    this.#heartbeats = options.heartbeats ?? false;
    this.#executionId = executionId;
    this.#lastSequence = lastSequence;
    this.#call = new Cancellation(options.signal);
    this.#events = this.#follow();
  }

  /** The execution's id; empty until its `started` event was delivered. */
  get executionId(): string {
    return this.#executionId;
  }

  /** The sequence number of the last event that was delivered; 0 before the first. */
  get lastSequence(): bigint {
    return this.#lastSequence;
  }

  /** How often a broken stream was opened again. */
  get reattachments(): number {
    return this.#reattachments;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Waits for the next event.
   *
   * @throws SandkeeperError when the call was refused, or the stream broke and could not be attached again
   */
  next(): Promise<IteratorResult<ExecutionEvent, undefined>> {
    return this.#events.next();
  }

  /** Ends the stream, not the program; also while somebody waits for the next event. */
  return(): Promise<IteratorResult<ExecutionEvent, undefined>> {
    this.#call.cancel();
    return this.#events.return(undefined);
  }

  /**
   * Reads to the end and hands on what the program writes.
   *
   * @returns how the execution ended
   * @throws SandkeeperError as `next` does
   */
  async wait(output: OutputHandlers = {}): Promise<Finished> {
    let finished: Finished | undefined;
    for await (const { event } of this) {
      switch (event.case) {
        case "stdout":
          await output.stdout?.(event.value.data);
          break;
        case "stderr":
          await output.stderr?.(event.value.data);
          break;
        case "finished":
          finished = event.value;
      }
    }
    if (finished === undefined) {
      throw localError(Code.FailedPrecondition, "the stream was read to its end before");
    }
    return finished;
  }

  async *#follow(): AsyncGenerator<ExecutionEvent, undefined> {
    try {
      yield* this.#attachAgain();
    } finally {
      this.#call.cancel();
    }
  }

  async *#attachAgain(): AsyncGenerator<ExecutionEvent, undefined> {
    let outage: { since: number; backoff: Backoff } | undefined;
    for (;;) {
      try {
        for await (const { event } of this.#open(this.#executionId, this.#lastSequence, this.#call.signal)) {
          if (event !== undefined && this.#isNew(event)) {
            outage = undefined;
            if (event.event.case !== "heartbeat" || this.#heartbeats) {
              yield event;
            }
          }
        }
        throw localError(Code.Unavailable, "the stream ended before the execution did");
      } catch (e) {
        if (this.#finished) {
          return undefined;
        }
        if (!(e instanceof SandkeeperError) || e.code !== Code.Unavailable) {
          throw e;
        }
        outage ??= { since: performance.now(), backoff: new Backoff(MAX_WAIT_MS) };
        const wait = outage.backoff.next(e.retryDelayMs);
        if (performance.now() + wait - outage.since > this.#giveUpAfterMs) {
          throw e;
        }
        await pause(wait, this.#call.signal);
        this.#reattachments++;
      }
    }
  }

  /** Notes an event that comes next, and tells it from one that was delivered before the stream broke. */
  #isNew({ sequence, event }: ExecutionEvent): boolean {
    if (event.case === "heartbeat") {
      return true;
    }
    if (sequence <= this.#lastSequence) {
      return false;
    }
    if (sequence !== this.#lastSequence + 1n) {
      throw localError(Code.DataLoss, `event ${this.#lastSequence + 1n} is missing: event ${sequence} came`);
    }
    this.#lastSequence = sequence;
    if (event.case === "started") {
      this.#executionId = event.value.executionId;
    }
    this.#finished = event.case === "finished";
    return true;
  }
}
