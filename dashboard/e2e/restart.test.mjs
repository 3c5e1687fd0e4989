// The gateway is killed while it answers, and started again on the same store.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { answers, ask, browserForTests, composer, finished, questions, until, words } from "./browser.mjs";
import { MODEL_ONLY, startGateway, startModel } from "./gateway.mjs";

const visit = browserForTests();
let gateway;
before(async () => {
  gateway = await startGateway({ config: MODEL_ONLY, env: (await startModel()).env });
});

test("killed in mid-answer: both tabs show the whole answer, once", async () => {
  const { page, context } = await visit(gateway.url);
  await ask(page, "slow:30");
  const other = await context.newPage();
  await other.goto(page.url());
  await until(
    async () => (await answers(other).count()) > 0 && (await words(answers(other))) > 3,
    "first words",
  );
  await gateway.kill();
  await page.getByText("Connection lost, reconnecting").waitFor();
  // Written while nobody is there to take it.
  await ask(page, "echo:written meanwhile");
  await page.getByText("Not sent yet").waitFor();
  await gateway.start();

  for (const tab of [page, other]) {
    await finished(tab).nth(1).waitFor();
    assert.equal(await words(answers(tab).first()), 30);
    assert.match(await answers(tab).last().textContent(), /written meanwhile/);
    assert.deepEqual(await questions(tab).allTextContents(), ["slow:30", "echo:written meanwhile"]);
    assert.equal(await tab.getByText("Connection lost").count(), 0);
  }
  await page.reload();
  await finished(page).nth(1).waitFor();
  assert.equal(await answers(page).count(), 2);
  assert.equal(await words(answers(page).first()), 30);
});

test("a draft survives a restart, and the page needs no reload", async () => {
  const { page } = await visit(gateway.url);
  await ask(page, "echo:before");
  await finished(page).waitFor();
  await composer(page).fill("echo:half a thought");
  await gateway.kill();
  await gateway.start();
  assert.equal(await composer(page).inputValue(), "echo:half a thought");
  await composer(page).press("Enter");
  await finished(page).nth(1).waitFor();
  assert.match(await answers(page).last().textContent(), /half a thought/);
});
