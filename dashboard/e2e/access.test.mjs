// axe on every state of the page, in both themes and languages.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { ask, axe, browserForTests, composer, finished, stopButton } from "./browser.mjs";
import { startGateway, startModel } from "./gateway.mjs";

const visit = browserForTests();
let gateway;
before(async () => {
  const model = await startModel();
  gateway = await startGateway({ env: model.env });
  await model.script([
    { contains: "WeCom", fault: "status", status: 503 },
    { contains: "企业微信", fault: "status", status: 503 },
    { contains: "broken", fault: "status", status: 400 },
  ]);
});

const MARKDOWN =
  'echo:# One\n\n## Two\n\ntext with `code` and [a link](https://example.com)\n\n> quoted\n\n- [ ] open\n- [x] done\n\n```toml\n# note\na = "b" \n```\n\n| a | b |\n|---|---|\n| 1 | 2 |';

for (const theme of ["light", "dark"]) {
  for (const language of ["en", "zh-CN"]) {
    for (const width of [1280, 390]) {
      test(`axe is content: ${theme}, ${language}, ${width} px`, async () => {
        const narrow = width < 820;
        const { page } = await visit(gateway.url, { theme, language, width, touch: narrow });
        const check = async (state) => assert.deepEqual(await axe(page), [], state);
        await composer(page).waitFor();
        await check("welcome");
        await page.locator(".suggestion").first().click();
        await page.locator(".sources button").first().waitFor();
        await check("answer with sources");
        await page.locator(".sources button").first().click();
        await page.locator("dialog[open] .source").waitFor();
        await check("source");
        await page.keyboard.press("Escape");
        await ask(page, MARKDOWN);
        await finished(page).nth(1).waitFor();
        await page.locator(".hljs").last().waitFor();
        await ask(page, "this one is broken");
        await page.locator(".part.failed").waitFor();
        await check("answers");
        await ask(page, "slow:400");
        await page.locator(".md.growing").waitFor();
        await ask(page, "/stop");
        await page.locator(".remark.stopped").waitFor();
        await ask(page, "slow:400");
        await page.locator(".md.growing").waitFor();
        await ask(page, "echo:in line");
        await finished(page).nth(3).waitFor();
        await check("streaming, and one in line");
        await stopButton(page).click();
        if (narrow) {
          await page.locator(".chat-head button").first().click();
          await page.locator("dialog[open] .side-list").waitFor();
          await check("conversations");
        }
        await page.getByRole("button", { name: /^(More actions for|“.*”的更多操作)/ }).click();
        await page.getByRole("menuitem", { name: /^(Delete|删除)$/ }).click();
        const question = page.getByRole("dialog", { name: /^(Delete this conversation|删除这个对话)/ });
        await question.waitFor();
        await check("delete");
        await page.keyboard.press("Escape");
        await question.waitFor({ state: "hidden" });
        await page.getByRole("button", { name: /^(Appearance and language|外观与语言)$/ }).click();
        await page.getByRole("menuitem").first().waitFor();
        await check("settings");
      });
    }
  }
}
