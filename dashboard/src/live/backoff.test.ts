import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Backoff, Pause } from "./backoff";

describe("Backoff", () => {
  it("doubles up to 15 s, and starts again after a reset", () => {
    const backoff = new Backoff(() => 1);
    const delays = Array.from({ length: 8 }, () => backoff.next());
    expect(delays).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    backoff.reset();
    expect(backoff.next()).toBe(250);
  });

  it("shortens a delay by at most half", () => {
    expect(new Backoff(() => 0).next()).toBe(125);
  });
});

describe("Pause", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("ends by the clock or when woken", async () => {
    const pause = new Pause();
    const ended = vi.fn();
    void pause.wait(1000).then(ended);
    await vi.advanceTimersByTimeAsync(999);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(ended).toHaveBeenCalledTimes(1);

    void pause.wait(1000).then(ended);
    pause.wake();
    await vi.advanceTimersByTimeAsync(0);
    expect(ended).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(0);
  });
});
