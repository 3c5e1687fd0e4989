import type { Stored } from "~/app/stored";
import { Backoff, Pause } from "~/live/backoff";
import { isPassing, Problem } from "~/live/problem";

/** A message written here that the gateway has not yet confirmed, or has refused for `problem`. */
export interface Unsent {
  clientId: string;
  /** Key of the conversation in this browser: the gateway's own id may not exist yet. */
  chat: string;
  text: string;
  at: string;
  problem?: string;
}

/** A message the gateway holds, until its echo arrives on the event stream. */
export interface Sent extends Unsent {
  message: string;
}

export interface OutboxState {
  unsent: readonly Unsent[];
  sent: readonly Sent[];
  /** Why nothing leaves at the moment. */
  stalled?: "offline" | "busy" | "token";
}

/**
 * Sends what is in `store`, one by one and in order, until the gateway has it. A repeat after a lost answer is
 * harmless because the gateway knows the message's `clientId`.
 */
export class Outbox {
  private state: OutboxState;
  private readonly listeners = new Set<() => void>();
  private readonly backoff: Backoff;
  private readonly pause = new Pause();
  private running = false;

  constructor(
    private readonly store: Stored<readonly Unsent[]>,
    /** Hands one message to the gateway and returns the id it got there. */
    private readonly deliver: (unsent: Unsent) => Promise<string>,
    backoff = new Backoff(),
  ) {
    this.backoff = backoff;
    this.state = { unsent: store.get(), sent: [] };
    store.subscribe(() => this.update({ unsent: store.get() }));
  }

  readonly get = (): OutboxState => this.state;

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  add(unsent: Unsent) {
    this.store.set([...this.store.get(), unsent]);
    this.wake();
  }

  retry(clientId: string) {
    this.store.set(
      this.store
        .get()
        .map((one) =>
          one.clientId === clientId ? { ...one, problem: undefined, at: new Date().toISOString() } : one,
        ),
    );
    this.wake();
  }

  /** Forgets messages: their echo has arrived, or nobody wants them any more. */
  drop(gone: (one: Unsent) => boolean) {
    if (this.store.get().some(gone)) this.store.set(this.store.get().filter((one) => !gone(one)));
    if (this.state.sent.some(gone)) this.update({ sent: this.state.sent.filter((one) => !gone(one)) });
  }

  /** Tries again at once: the connection is back, a token was given, or there is something new. */
  readonly wake = () => {
    this.pause.wake();
    if (this.state.stalled === "token") this.update({ stalled: undefined });
    if (!this.running) void this.run();
  };

  private async run() {
    this.running = true;
    for (let next = this.next(); next; next = this.next()) {
      try {
        const message = await this.deliver(next);
        this.backoff.reset();
        this.accept(next, message);
      } catch (error) {
        if (error instanceof Problem && error.status === 401) {
          this.update({ stalled: "token" });
          break;
        }
        if (isPassing(error)) {
          const asked = error instanceof Problem ? error.retryAfter : 0;
          this.update({ stalled: error instanceof Problem ? "busy" : "offline" });
          await this.pause.wait(Math.max(asked, this.backoff.next()));
        } else {
          this.refuse(next, error as Problem);
        }
      }
    }
    this.running = false;
  }

  private next = () => this.store.get().find((one) => one.problem === undefined);

  private accept(unsent: Unsent, message: string) {
    // The echo may have overtaken the answer, and dropped the message already.
    if (this.store.get().some((one) => one.clientId === unsent.clientId)) {
      this.update({ sent: [...this.state.sent, { ...unsent, message }] });
      this.drop((one) => one.clientId === unsent.clientId && !("message" in one));
    }
    this.update({ stalled: undefined });
  }

  private refuse(unsent: Unsent, problem: Problem) {
    this.store.set(
      this.store
        .get()
        .map((one) => (one.clientId === unsent.clientId ? { ...one, problem: problem.detail } : one)),
    );
    this.update({ stalled: undefined });
  }

  private update(change: Partial<OutboxState>) {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}
