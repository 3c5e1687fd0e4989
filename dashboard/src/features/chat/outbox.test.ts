import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Stored } from "~/app/stored";
import { Backoff } from "~/live/backoff";
import { Problem } from "~/live/problem";
import { Outbox, type Unsent } from "./outbox";

const one = (clientId: string, text = clientId): Unsent => ({
  clientId,
  chat: "k",
  text,
  at: "2025-01-02T03:04:05Z",
});

function memory() {
  const values = new Map<string, string>();
  return {
    getItem: (key: string) => values.get(key) ?? null,
    setItem: (key: string, value: string) => void values.set(key, value),
  };
}

describe("Outbox", () => {
  const storage = { current: memory() };
  const store = () => new Stored<readonly Unsent[]>("outbox", [], storage.current);
  const outboxOf = (deliver: (unsent: Unsent) => Promise<string>) =>
    new Outbox(store(), deliver, new Backoff(() => 1));
  const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

  beforeEach(() => {
    vi.useFakeTimers();
    storage.current = memory();
  });
  afterEach(() => void vi.useRealTimers());

  it("sends in order, one at a time", async () => {
    const order: string[] = [];
    const outbox = outboxOf(async ({ clientId }) => {
      order.push(`> ${clientId}`);
      await new Promise((done) => setTimeout(done, 100));
      order.push(`< ${clientId}`);
      return clientId;
    });
    outbox.add(one("a"));
    outbox.add(one("b"));
    await settle(300);
    expect(order).toEqual(["> a", "< a", "> b", "< b"]);
    expect(outbox.get().sent.map(({ message }) => message)).toEqual(["a", "b"]);
    expect(store().get()).toEqual([]);
  });

  it("keeps a message without a connection, tries again with the same id, and says so", async () => {
    const deliver = vi.fn(async (_: Unsent) => "17");
    deliver.mockRejectedValueOnce(new TypeError("Failed to fetch"));
    const outbox = outboxOf(deliver);
    outbox.add(one("a"));
    await settle(100);
    expect(outbox.get().stalled).toBe("offline");
    expect(store().get()).toHaveLength(1);
    await settle(200);
    expect(deliver.mock.calls.map(([unsent]) => unsent.clientId)).toEqual(["a", "a"]);
    expect(outbox.get()).toMatchObject({ unsent: [], stalled: undefined });
  });

  it("sends at once when woken", async () => {
    const deliver = vi.fn(async (_: Unsent) => "17");
    for (let count = 0; count < 6; count++) deliver.mockRejectedValueOnce(new TypeError("Failed to fetch"));
    const outbox = outboxOf(deliver);
    outbox.add(one("a"));
    await settle(8_000);
    expect(deliver).toHaveBeenCalledTimes(6);
    outbox.wake();
    await settle();
    expect(outbox.get().unsent).toEqual([]);
  });

  it("survives a reload", async () => {
    outboxOf(() => Promise.reject(new TypeError("Failed to fetch"))).add(one("a"));
    await settle(10);
    const deliver = vi.fn(async (_: Unsent) => "17");
    outboxOf(deliver).wake();
    await settle(10);
    expect(deliver).toHaveBeenCalledWith(expect.objectContaining({ clientId: "a" }));
  });

  it("waits as long as a busy gateway asks", async () => {
    const deliver = vi.fn(async (_: Unsent) => "17");
    deliver.mockRejectedValueOnce(new Problem(429, "slow down", 5_000));
    const outbox = outboxOf(deliver);
    outbox.add(one("a"));
    await settle(4_900);
    expect(outbox.get().stalled).toBe("busy");
    expect(deliver).toHaveBeenCalledTimes(1);
    await settle(200);
    expect(deliver).toHaveBeenCalledTimes(2);
  });

  it("holds everything until there is a token", async () => {
    const deliver = vi.fn(async (_: Unsent) => "17");
    deliver.mockRejectedValueOnce(new Problem(401, "token needed"));
    const outbox = outboxOf(deliver);
    outbox.add(one("a"));
    await settle(60_000);
    expect(outbox.get().stalled).toBe("token");
    expect(deliver).toHaveBeenCalledTimes(1);
    outbox.wake();
    await settle();
    expect(outbox.get()).toMatchObject({ unsent: [], stalled: undefined });
  });

  it("sets a refused message aside, goes on with the next, and sends it again only on request", async () => {
    const deliver = vi.fn(async (_: Unsent) => "17");
    deliver.mockRejectedValueOnce(new Problem(422, "too long"));
    const outbox = outboxOf(deliver);
    outbox.add(one("a"));
    outbox.add(one("b"));
    await settle();
    expect(outbox.get().unsent).toMatchObject([{ clientId: "a", problem: "too long" }]);
    outbox.retry("a");
    await settle();
    expect(outbox.get().unsent).toEqual([]);
  });

  it("drops a message whose echo came before the answer to the request", async () => {
    const outbox = outboxOf(async () => {
      outbox.drop(({ clientId }) => clientId === "a");
      return "17";
    });
    outbox.add(one("a"));
    await settle();
    expect(outbox.get()).toMatchObject({ unsent: [], sent: [] });
  });
});
