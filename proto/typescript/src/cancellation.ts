/** A signal of our own, which a caller's signal fires too until it is released. */
export class Cancellation {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #follow = () => this.cancel(this.#outer?.reason);

  constructor(outer: AbortSignal | undefined) {
    this.#outer = outer;
    outer?.addEventListener("abort", this.#follow);
    if (outer?.aborted) {
      this.#follow();
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  cancel(reason?: unknown): void {
    this.release();
    this.#controller.abort(reason);
  }

  /** Stops listening to the caller's signal, which may live much longer. */
  release(): void {
    this.#outer?.removeEventListener("abort", this.#follow);
  }
}
