// A model that does not answer: what the reader is told, with a second provider behind it and without.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { answers, ask, browserForTests, finished, questions } from "./browser.mjs";
import { MODEL_ONLY, startGateway, startModel } from "./gateway.mjs";

const visit = browserForTests();
let model;
before(async () => {
  model = await startModel();
});

test("the guide answers for a model that is down, and says so", async () => {
  const gateway = await startGateway({ env: model.env });
  await model.script([{ contains: "WeCom", fault: "status", status: 503 }]);
  const { page } = await visit(gateway.url);
  await page.getByRole("button", { name: "How do I connect WeCom?" }).click();
  await finished(page).waitFor();
  await answers(page).getByText("Answered from the knowledge base, the model is not reachable").waitFor();
  await answers(page).locator(".sources button").first().waitFor();
});

test("a failed answer says so, and can be tried again", async () => {
  const gateway = await startGateway({ config: MODEL_ONLY, env: model.env });
  await model.script([{ contains: "broken", times: 1, fault: "status", status: 400 }]);
  const { page } = await visit(gateway.url);
  await ask(page, "echo:no longer broken");
  await finished(page).getByText("The answer failed").waitFor();
  assert.equal(await page.getByText("knowledge base").count(), 0);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("2/2").waitFor();
  assert.equal(await questions(page).count(), 1);
});
