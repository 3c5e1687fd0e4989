// A platform that asks for a token, played by the network: what the page does about a 401.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, finished, launch, visit } from "./browser.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

test("a token is asked for, sent with both requests, and kept for the tab", async () => {
  const { page, context, offences } = await visit(browser);
  await page.route("**/api/v1/chat/**", (route) => {
    const { authorization, ...headers } = route.request().headers();
    if (authorization === "Bearer open sesame") return route.continue({ headers });
    return route.fulfill({
      status: 401,
      contentType: "application/problem+json",
      body: JSON.stringify({ title: "Unauthorized", status: 401, detail: "a token is needed" }),
    });
  });
  await ask(page, "echo:inside");
  const prompt = page.getByRole("dialog", { name: "Access token needed" });
  await prompt.getByLabel("Access token", { exact: true }).fill("wrong");
  await page.keyboard.press("Enter");
  await prompt.getByText("The token was not accepted").waitFor();
  await prompt.getByLabel("Access token", { exact: true }).fill("open sesame");
  await page.keyboard.press("Enter");
  await finished(page).waitFor();
  await page.reload();
  await finished(page).waitFor();
  assert.equal(await prompt.count(), 0);
  assert.deepEqual(offences, []);
  await context.close();
});
