import { Code } from "@connectrpc/connect";
import { Backoff, pause } from "./backoff.js";
import { SandkeeperError } from "./errors.js";

const MAX_TRIES = 3;
const MAX_WAIT_MS = 2_000;

/**
 * Makes a call that is safe to repeat, up to three times while the answer is UNAVAILABLE and the time lasts.
 *
 * @param timeoutMs the time for all tries and the waits between them
 * @param call makes one try, with the time that is left for it, in whole milliseconds
 */
export async function retry<T>(timeoutMs: number, call: (leftMs: number) => Promise<T>): Promise<T> {
  const end = performance.now() + timeoutMs;
  const backoff = new Backoff(MAX_WAIT_MS);
  for (let tries = 1; ; tries++) {
    try {
      return await call(Math.max(Math.ceil(end - performance.now()), 1));
    } catch (e) {
      if (!(e instanceof SandkeeperError) || e.code !== Code.Unavailable || tries === MAX_TRIES) {
        throw e;
      }
      const wait = e.retryDelayMs ?? backoff.next();
      if (performance.now() + wait >= end) {
        throw e;
      }
      await pause(wait);
    }
  }
}
