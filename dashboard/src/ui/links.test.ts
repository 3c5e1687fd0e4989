import { describe, expect, it } from "vitest";
import { hostOf, safeUrl } from "./links";

describe("safeUrl", () => {
  it.each(["https://a.example", "http://a.example", "mailto:a@b.example", "#part", "/docs"])(
    "lets %s through",
    (url) => {
      expect(safeUrl(url)).toBe(url);
    },
  );

  it.each([
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "blob:x",
    "file:///etc/passwd",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "docs",
  ])("stops %s", (url) => {
    expect(safeUrl(url)).toBe("");
  });
});

describe("hostOf", () => {
  it("names the target unless the text is the target", () => {
    expect(hostOf("https://evil.example/x", "https://bank.example")).toBe("evil.example");
    expect(hostOf("https://bank.example/", "bank.example")).toBeUndefined();
    expect(hostOf("https://b\u0430nk.example/", "bank")).toBe("xn--bnk-6cd.example");
    expect(hostOf("mailto:a@b.example", "write")).toBeUndefined();
  });
});
