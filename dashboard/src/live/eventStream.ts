import { createParser, type EventSourceMessage } from "eventsource-parser";
import { Backoff, Pause } from "./backoff";
import { isPassing, Problem } from "./problem";

export type Link = "connecting" | "open" | "waiting" | "refused";
export type { EventSourceMessage };

interface Options {
  request(lastEventId: string | undefined, signal: AbortSignal): Promise<Response>;
  /** Everything that one network chunk carried, so that a burst is one render. */
  onEvents(events: EventSourceMessage[]): void;
  onLink(link: Link, problem?: Problem): void;
}

/** The server says something every 15 s. Two beats missed mean a dead connection that has not noticed. */
const SILENCE_MS = 40_000;
/** A connection this old was a good one: the next failure starts with a short delay again. */
const STABLE_MS = 5_000;

/** A server-sent event stream over `fetch`, so that it can carry headers and comes back on our terms. */
export class EventStream {
  private readonly backoff = new Backoff();
  private readonly pause = new Pause();
  private connection = new AbortController();
  private closed = false;
  private lastEventId: string | undefined;

  constructor(private readonly options: Options) {
    void this.run();
  }

  close() {
    this.closed = true;
    this.connection.abort();
    this.pause.wake();
  }

  /** Drops the connection and makes a new one. */
  readonly restart = () => this.connection.abort();

  /** Ends the wait between two attempts. */
  readonly wake = this.pause.wake;

  private async run() {
    while (!this.closed) {
      this.options.onLink("connecting");
      let asked = 0;
      try {
        await this.read();
      } catch (error) {
        if (this.closed) return;
        if (error instanceof Problem) {
          if (!isPassing(error)) return this.options.onLink("refused", error);
          asked = error.retryAfter;
        }
      }
      if (this.closed) return;
      this.options.onLink("waiting");
      await this.pause.wait(Math.max(asked, this.backoff.next()));
    }
  }

  private async read() {
    this.connection = new AbortController();
    const { signal } = this.connection;
    let silence = setTimeout(this.restart, SILENCE_MS);
    const opened = Date.now();
    try {
      const response = await this.options.request(this.lastEventId, signal);
      if (!response.ok || !response.body) throw await Problem.from(response);
      this.options.onLink("open");
      let events: EventSourceMessage[] = [];
      const parser = createParser({ onEvent: (event) => events.push(event) });
      const reader = response.body.pipeThrough(new TextDecoderStream(), { signal }).getReader();
      for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
        clearTimeout(silence);
        silence = setTimeout(this.restart, SILENCE_MS);
        parser.feed(chunk.value);
        if (events.length === 0) continue;
        this.lastEventId = events.findLast((event) => event.id)?.id ?? this.lastEventId;
        this.options.onEvents(events);
        events = [];
      }
    } finally {
      clearTimeout(silence);
      if (Date.now() - opened > STABLE_MS) this.backoff.reset();
    }
  }
}
