import { describe, expect, it } from "vitest";
import { byDay, type Conversation, matching, titleOf } from "./conversations";

const one = (key: string, title: string, updated: Date): Conversation => ({
  key,
  title,
  updated: updated.toISOString(),
});
const now = new Date(2025, 4, 20, 9, 30);

describe("byDay", () => {
  it("groups by the local day", () => {
    const list = [
      one("a", "", new Date(2025, 4, 20, 0, 0)),
      one("b", "", new Date(2025, 4, 19, 23, 59)),
      one("c", "", new Date(2025, 4, 19, 8, 0)),
      one("d", "", new Date(2025, 4, 2, 8, 0)),
    ];
    expect(byDay(list, now).map(({ ago, items }) => [ago, items.map(({ key }) => key)])).toEqual([
      [0, ["a"]],
      [1, ["b", "c"]],
      [18, ["d"]],
    ]);
  });
});

describe("matching", () => {
  it("finds every word of the query, in any order and case", () => {
    const list = [one("a", "How do I connect WeCom?", now), one("b", "如何接入企业微信？", now)];
    expect(matching(list, "wecom how").map(({ key }) => key)).toEqual(["a"]);
    expect(matching(list, "企业微信").map(({ key }) => key)).toEqual(["b"]);
    expect(matching(list, "  ")).toHaveLength(2);
  });
});

describe("titleOf", () => {
  it("makes one short line", () => {
    expect(titleOf("  a\n\n b ")).toBe("a b");
    expect(titleOf("x".repeat(100))).toHaveLength(60);
  });
});
