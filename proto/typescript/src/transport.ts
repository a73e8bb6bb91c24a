import type { DescMessage, DescMethodStreaming, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import type { ContextValues, StreamResponse, Transport, UnaryResponse } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import { Cancellation } from "./cancellation.js";
import type { SandkeeperError } from "./errors.js";
import { localError, toSandkeeperError } from "./errors.js";

/** A transport whose failures are SandkeeperErrors, and whose calls all end when it is closed. */
export class ClosableTransport implements Transport {
  readonly #inner: Transport;
  readonly #calls = new Set<Cancellation>();
  #closed = false;

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
    contextValues?: ContextValues,
  ): Promise<UnaryResponse<I, O>> {
    const call = this.#begin(signal);
    try {
      return await this.#inner.unary(method, call.signal, timeoutMs, header, input, contextValues);
    } catch (e) {
      throw toSandkeeperError(e, call.signal.aborted);
    } finally {
      this.#end(call);
    }
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
    contextValues?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    const call = this.#begin(signal);
    try {
      const response = await this.#inner.stream(method, call.signal, timeoutMs, header, input, contextValues);
      return { ...response, message: this.#received(response.message, call) };
    } catch (e) {
      this.#end(call);
      throw toSandkeeperError(e, call.signal.aborted);
    }
  }

  /** Ends every call that is under way; later ones are refused. */
  close(): void {
    this.#closed = true;
    for (const call of this.#calls) {
      call.cancel(closedError());
    }
  }

  #begin(signal: AbortSignal | undefined): Cancellation {
    if (this.#closed) {
      throw closedError();
    }
    const call = new Cancellation(signal);
    this.#calls.add(call);
    // A stream that is cancelled may never be read again, so this is its end too.
    call.signal.addEventListener("abort", () => this.#end(call));
    return call;
  }

  #end(call: Cancellation): void {
    call.release();
    this.#calls.delete(call);
  }

  async *#received<T>(messages: AsyncIterable<T>, call: Cancellation): AsyncGenerator<T> {
    try {
      yield* messages;
    } catch (e) {
      throw toSandkeeperError(e, call.signal.aborted);
    } finally {
      this.#end(call);
    }
  }
}

function closedError(): SandkeeperError {
  return localError(Code.Canceled, "the client was closed");
}
