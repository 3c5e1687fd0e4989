// A platform that asks for a token.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { ask, axe, browserForTests, finished } from "./browser.mjs";
import { MODEL_ONLY, startGateway, startModel, TOKEN } from "./gateway.mjs";

const visit = browserForTests();
let gateway;
before(async () => {
  gateway = await startGateway({ config: MODEL_ONLY, env: (await startModel()).env });
});

test("a token is asked for, sent with both requests, and kept for the tab", async () => {
  const { page } = await visit(gateway.url, { path: "/chat/guarded", theme: "dark" });
  await ask(page, "echo:inside");
  const prompt = page.getByRole("dialog", { name: "Access token needed" });
  await prompt.getByLabel("Access token", { exact: true }).fill("wrong");
  await page.keyboard.press("Enter");
  await prompt.getByText("The token was not accepted").waitFor();
  assert.deepEqual(await axe(page), []);
  await prompt.getByLabel("Access token", { exact: true }).fill(TOKEN);
  await page.keyboard.press("Enter");
  await finished(page).filter({ hasText: "inside" }).waitFor();
  await page.reload();
  await finished(page).filter({ hasText: "inside" }).waitFor();
  assert.equal(await prompt.count(), 0);
});
