/** How long to wait before each try of a row: doubling from 100 ms, each shortened at random by up to a half. */
export class Backoff {
  readonly #maxMs: number;
  readonly #random: () => number;
  #nextMs = 100;

  /** @param maxMs the longest wait, in milliseconds */
  constructor(maxMs: number, random: () => number = Math.random) {
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** Returns the next wait, in milliseconds: never less than the server asked for. */
  next(askedMs = 0): number {
    const wait = this.#nextMs * (1 - this.#random() / 2);
    this.#nextMs = Math.min(this.#nextMs * 2, this.#maxMs);
    return Math.max(wait, askedMs);
  }
}

/** Waits, at most until the signal says that nobody waits any more. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener("abort", wake);
    if (signal?.aborted) {
      wake();
    }
  });
}
