import { describe, expect, it } from "vitest";
import {
  type AssistantMessage,
  apply,
  EMPTY_THREAD,
  isAnswering,
  type ThreadEvent,
  turnsOf,
  type UserMessage,
} from "./thread";

const at = "2025-01-02T03:04:05.000Z";
const user = (id: string, text: string): UserMessage => ({ id, role: "user", text, at, client_id: `c${id}` });
const answer = (id: string, text: string, more: Partial<AssistantMessage> = {}): AssistantMessage => ({
  id,
  role: "assistant",
  reply_to: id.split(".")[0] ?? null,
  text,
  at,
  mark: null,
  degraded: false,
  sources: [],
  ...more,
});
const message = (data: UserMessage | AssistantMessage): ThreadEvent => ({ type: "message", data });
const delta = (id: string, text: string, replace = false): ThreadEvent => ({
  type: "delta",
  data: { message: id, text, replace },
});
const play = (...events: ThreadEvent[]) => events.reduce(apply, EMPTY_THREAD);

describe("apply", () => {
  it("appends deltas, and replaces when told to", () => {
    expect(play(delta("1", "Hel"), delta("1", "lo")).live["1"]?.text).toBe("Hello");
    expect(play(delta("1", "Hel"), delta("1", "Good day", true)).live["1"]?.text).toBe("Good day");
  });

  it("merges a message that arrives again by its id", () => {
    const thread = play(
      message(user("1", "hi")),
      message(answer("1.0", "draft")),
      message(answer("1.0", "final")),
    );
    expect(thread.messages.map(({ text }) => text)).toEqual(["hi", "final"]);
  });

  it("ends the stream with the answer and ignores what comes late", () => {
    const thread = play(
      message(user("1", "hi")),
      delta("1", "He"),
      message(answer("1.0", "Hello")),
      delta("1", "llo"),
    );
    expect(thread.live).toEqual({});
  });

  it("lets an answer stream after a note that precedes it", () => {
    const thread = play(
      message(user("1", "hi")),
      message(answer("1.0", "one moment", { mark: "notice" })),
      delta("1", "He"),
    );
    expect(thread.live["1"]?.text).toBe("He");
  });

  it("keeps the text under a notice, and drops the notice when text follows", () => {
    const queued: ThreadEvent = {
      type: "notice",
      data: { kind: "queued", message: "1", text: "wait", ahead: 3 },
    };
    expect(play(delta("1", "He"), queued).live["1"]).toMatchObject({ text: "He", notice: { ahead: 3 } });
    expect(play(queued, delta("1", "He")).live["1"]?.notice).toBeUndefined();
  });

  it("leaves the thread alone for a notice about no message", () => {
    expect(play({ type: "notice", data: { kind: "draining", message: null, text: "" } })).toBe(EMPTY_THREAD);
  });
});

describe("turnsOf", () => {
  it("puts the parts of an answer under their question, in order", () => {
    const thread = play(
      message(user("1", "a")),
      message(user("2", "b")),
      message(answer("1.0", "first")),
      message(answer("1.1", "second")),
      message(answer("2.0", "third")),
    );
    const turns = turnsOf(thread.messages, [], []);
    expect(turns.map((turn) => turn.versions[0]?.parts.map(({ text }) => text))).toEqual([
      ["first", "second"],
      ["third"],
    ]);
  });

  it("makes the answer to /retry another version, and hides /stop", () => {
    const thread = play(
      message(user("1", "a")),
      message(user("2", "/stop")),
      message(answer("1.0", "half", { mark: "stopped" })),
      message(user("3", "/retry")),
      message(answer("3.0", "whole")),
    );
    const turns = turnsOf(thread.messages, [], []);
    expect(turns).toHaveLength(1);
    expect(turns[0]?.versions.map(({ parts }) => parts[0]?.text)).toEqual(["half", "whole"]);
  });

  it("shows an answer without a visible question by itself", () => {
    const turns = turnsOf(play(message(answer("7.0", "hello", { reply_to: null }))).messages, [], []);
    expect(turns[0]?.question).toBeUndefined();
    expect(turns[0]?.versions[0]?.parts[0]?.text).toBe("hello");
  });

  it("shows what is on its way until the echo arrives, under the same key", () => {
    const one = { clientId: "c1", chat: "k", text: "hi", at };
    const before = turnsOf([], [{ ...one, message: "1" }], []);
    const after = turnsOf(play(message(user("1", "hi"))).messages, [{ ...one, message: "1" }], []);
    expect(before).toEqual(after);
    expect(turnsOf(play(message(user("1", "hi"))).messages, [], [one])).toHaveLength(1);
    expect(turnsOf([], [], [one])[0]?.versions[0]?.unsent).toBe(one);
  });
});

describe("isAnswering", () => {
  it("is true from the question to the answer, and not for commands or what is unsent", () => {
    const asked = play(message(user("1", "a")));
    const done = play(message(user("1", "a")), message(answer("1.0", "b")));
    const fresh = play(message(user("1", "/new")));
    const unsent = { clientId: "c9", chat: "k", text: "hi", at };
    expect(isAnswering(turnsOf(asked.messages, [], []), asked.live)).toBe(true);
    expect(isAnswering(turnsOf(done.messages, [], []), done.live)).toBe(false);
    expect(isAnswering(turnsOf(fresh.messages, [], []), fresh.live)).toBe(false);
    expect(isAnswering(turnsOf([], [], [unsent]), {})).toBe(false);
  });

  it("is false for a question that was answered together with a later one", () => {
    const joined = play(message(user("1", "a")), message(user("2", "b")), message(answer("2.0", "both")));
    const turns = turnsOf(joined.messages, [], []);
    expect(turns.map(({ versions }) => versions.length)).toEqual([0, 1]);
    expect(isAnswering(turns, joined.live)).toBe(false);
    const noted = play(
      message(user("1", "a")),
      message(user("2", "b")),
      message(answer("2.0", "busy", { mark: "notice" })),
    );
    expect(isAnswering(turnsOf(noted.messages, [], []), noted.live)).toBe(true);
  });
});
