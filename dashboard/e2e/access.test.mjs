// axe on every state of the page, in both themes and languages.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, axe, composer, finished, launch, visit } from "./browser.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const MARKDOWN =
  'echo:# One\n\n## Two\n\ntext with `code` and [a link](https://example.com)\n\n> quoted\n\n- [ ] open\n- [x] done\n\n```toml\n# note\na = "b" \n```\n\n| a | b |\n|---|---|\n| 1 | 2 |';

for (const theme of ["light", "dark"]) {
  for (const language of ["en", "zh-CN"]) {
    for (const width of [1280, 390]) {
      test(`axe is content: ${theme}, ${language}, ${width} px`, async () => {
        const { page, context } = await visit(browser, { theme, language, width, touch: width < 820 });
        const check = async (state) => assert.deepEqual(await axe(page), [], state);
        try {
          await composer(page).waitFor();
          await check("welcome");
          await ask(page, MARKDOWN);
          await finished(page).waitFor();
          await page.locator(".hljs").waitFor();
          await check("answer");
          await ask(page, "slow:100 words");
          await page.locator(".md.growing").waitFor();
          await check("streaming");
          if (width < 820) {
            await page.locator(".chat-head button").first().click();
            await page.locator("dialog[open] .side-list").waitFor();
            await check("conversations");
          }
          await page.getByRole("button", { name: /^(Appearance and language|外观与语言)$/ }).click();
          await page.getByRole("menuitem").first().waitFor();
          await check("settings");
        } finally {
          await context.close();
        }
      });
    }
  }
}
