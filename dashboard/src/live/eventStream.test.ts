import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EventStream, type Link } from "./eventStream";

interface Connection {
  lastEventId: string | undefined;
  signal: AbortSignal;
  say(text: string): void;
  end(): void;
}

/** A server whose connections the test holds in its hands. */
function server(answer?: () => Response | undefined) {
  const connections: Connection[] = [];
  const request = async (lastEventId: string | undefined, signal: AbortSignal) => {
    const { readable, writable } = new TransformStream<Uint8Array>();
    const writer = writable.getWriter();
    connections.push({
      lastEventId,
      signal,
      say: (text) => void writer.write(new TextEncoder().encode(text)),
      end: () => void writer.close(),
    });
    signal.addEventListener("abort", () => void writer.abort(signal.reason));
    return answer?.() ?? new Response(readable);
  };
  return { connections, request };
}

describe("EventStream", () => {
  const links: Link[] = [];
  const texts: string[] = [];
  let stream: EventStream | undefined;
  const start = (request: ReturnType<typeof server>["request"]) => {
    stream = new EventStream({
      request,
      onEvents: (events) => void texts.push(events.map(({ data }) => data).join("+")),
      onLink: (link) => void links.push(link),
    });
  };
  // The streams' own promises are not on the fake clock.
  const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms + 5);

  beforeEach(() => {
    vi.useFakeTimers();
    links.length = 0;
    texts.length = 0;
  });
  afterEach(() => {
    stream?.close();
    vi.useRealTimers();
  });

  it("hands on what one chunk carried at once, also when an event is cut in two", async () => {
    const { connections, request } = server();
    start(request);
    await settle();
    connections[0]?.say("id: 1\ndata: a\n\ndata: b\n\nda");
    await settle();
    connections[0]?.say("ta: c\n\n");
    await settle();
    expect(texts).toEqual(["a+b", "c"]);
    expect(links).toEqual(["connecting", "open"]);
  });

  it("comes back after an end, with the last id it saw", async () => {
    const { connections, request } = server();
    start(request);
    await settle();
    connections[0]?.say("id: 7\ndata: a\n\ndata: b\n\n");
    await settle();
    connections[0]?.end();
    await settle(300);
    expect(connections).toHaveLength(2);
    expect(connections[1]?.lastEventId).toBe("7");
  });

  it("takes 40 s of silence for the end, and a comment for a sign of life", async () => {
    const { connections, request } = server();
    start(request);
    await settle(39_000);
    connections[0]?.say(": beat\n\n");
    await settle(39_000);
    expect(connections[0]?.signal.aborted).toBe(false);
    await settle(2_000);
    expect(connections[0]?.signal.aborted).toBe(true);
    expect(connections).toHaveLength(2);
  });

  it("waits as long as the server asks", async () => {
    const busy = () => new Response("{}", { status: 503, headers: { "retry-after": "7" } });
    const { connections, request } = server(busy);
    start(request);
    await settle(6_900);
    expect(connections).toHaveLength(1);
    await settle(200);
    expect(connections).toHaveLength(2);
  });

  it("gives up when it is refused", async () => {
    const { connections, request } = server(() => Response.json({ detail: "no such chat" }, { status: 404 }));
    start(request);
    await settle(60_000);
    expect(connections).toHaveLength(1);
    expect(links).toEqual(["connecting", "refused"]);
  });

  it("stays closed", async () => {
    const { connections, request } = server();
    start(request);
    await settle();
    stream?.close();
    await settle(60_000);
    expect(connections).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});
