import { describe, expect, it } from "vitest";
import { closeOpen, splitBlocks } from "./markdown-blocks";

describe("splitBlocks", () => {
  it("cuts at blank lines", () => {
    expect(splitBlocks("a\nb\n\nc")).toEqual(["a\nb\n", "c"]);
  });

  it("keeps a code fence whole, whatever it holds", () => {
    const fence = "```sh\na\n\nb\n```";
    expect(splitBlocks(`x\n\n${fence}\n\ny`)).toEqual(["x\n", `${fence}\n`, "y"]);
    expect(splitBlocks("````\n```\n\n```\n````")).toHaveLength(1);
  });

  it("keeps a list whole across blank lines", () => {
    expect(splitBlocks("1. a\n\n   more\n\n2. b\n\nend")).toEqual(["1. a\n\n   more\n\n2. b\n", "end"]);
  });

  it("leaves a text with references whole", () => {
    expect(splitBlocks("see [x]\n\n[x]: https://example.com")).toHaveLength(1);
  });

  it("loses nothing: blocks joined are the text", () => {
    const text = "# a\n\nb\n\n- c\n\n- d\n\n```\ne\n\n```\n\nf";
    expect(splitBlocks(text).join("\n")).toBe(text);
  });
});

describe("closeOpen", () => {
  it.each([
    ["some **bo", "some **bo**"],
    ["some **", "some "],
    ["run `ca", "run `ca`"],
    ["see [the do", "see the do"],
    ["see [docs](https://exa", "see docs"],
    ["done **a** `b` [c](d)", "done **a** `b` [c](d)"],
  ])("%s → %s", (open, closed) => {
    expect(closeOpen(open)).toBe(closed);
  });

  it("leaves an open fence alone", () => {
    expect(closeOpen("```js\nconst a = `b")).toBe("```js\nconst a = `b");
  });
});
