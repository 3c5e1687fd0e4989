const FIRST_MS = 250;
const LONGEST_MS = 15_000;

/** Doubling delays up to 15 s, each shortened by up to half so that many clients do not return at once. */
export class Backoff {
  private attempts = 0;

  constructor(private readonly random: () => number = Math.random) {}

  next(): number {
    const delay = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.attempts);
    this.attempts += 1;
    return delay * (0.5 + this.random() / 2);
  }

  reset() {
    this.attempts = 0;
  }
}

/** A pause that `wake` cuts short. */
export class Pause {
  private finish: (() => void) | undefined;

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wake(), ms);
      this.finish = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  readonly wake = () => {
    this.finish?.();
    this.finish = undefined;
  };
}
