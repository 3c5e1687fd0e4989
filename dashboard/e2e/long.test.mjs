// A conversation of 500 messages: what is on the screen is all that costs anything.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { answers, ask, browserForTests, finished, questions, until, words } from "./browser.mjs";
import { MODEL_ONLY, startGateway, startModel } from "./gateway.mjs";

const QUESTIONS = 250;
const CONVERSATION = "long-conversation";

const visit = browserForTests();
let gateway;
before(async () => {
  gateway = await startGateway({ config: MODEL_ONLY, env: (await startModel()).env });
  for (let n = 1; n <= QUESTIONS; n++) {
    const text = `echo:Number ${n} is **a longer answer**.\n\n- with a list\n- of two\n\n\`\`\`js\nconst n = ${n};\n\`\`\``;
    const response = await fetch(`${gateway.url}/api/v1/chat/web/messages`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ conversation: CONVERSATION, client_id: `question-${n}`, text }),
    });
    assert.equal(response.status, 202);
  }
});

test("500 messages open at the end, scroll, and stay as they are while another one grows", async (t) => {
  const { page } = await visit(gateway.url);
  await page.evaluate((id) => {
    const item = { key: "k", id, title: "A long one", updated: new Date().toISOString() };
    localStorage.setItem("mindbot.chat.web.conversations", JSON.stringify([item]));
  }, CONVERSATION);
  await page.goto(`${gateway.url}/chat?c=k`);
  await finished(page)
    .nth(QUESTIONS - 1)
    .waitFor();
  t.diagnostic(`shown after ${await page.evaluate(() => Math.round(performance.now()))} ms`);
  assert.equal(await questions(page).count(), QUESTIONS);

  const list = page.getByRole("region", { name: "Messages" });
  const fromEnd = () => list.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
  await until(async () => (await fromEnd()) < 2, "the end is in view");
  const isDrawn = (answer) =>
    answer.evaluate((element) => element.checkVisibility({ contentVisibilityAuto: true }));
  assert.equal(await isDrawn(answers(page).first()), false);
  assert.equal(await isDrawn(answers(page).last()), true);

  await list.focus();
  await page.keyboard.press("Home");
  await answers(page).first().getByText("Number 1 is").waitFor();
  await page.getByRole("button", { name: "Jump to the newest message" }).click();
  await until(async () => (await fromEnd()) < 2, "the end is in view again");

  // Nothing but the new turn may change while words arrive.
  await ask(page, "slow:30");
  await until(async () => (await words(answers(page).last())) > 0, "first words");
  await page.evaluate(() => {
    window.changes = 0;
    window.tasks = 0;
    new PerformanceObserver((list) => {
      window.tasks += list.getEntries().length;
    }).observe({ type: "longtask" });
    const seen = new MutationObserver((list) => {
      window.changes += list.length;
    });
    for (const turn of [...document.querySelectorAll(".turn")].slice(0, -1))
      seen.observe(turn, { subtree: true, childList: true, attributes: true, characterData: true });
  });
  await until(async () => (await words(answers(page).last())) >= 25, "more words");
  assert.equal(await page.evaluate(() => window.changes), 0);
  t.diagnostic(`long tasks while 25 words arrived: ${await page.evaluate(() => window.tasks)}`);
  assert.ok((await fromEnd()) < 2, "the end stays in view");

  // A reader who has scrolled up is left alone.
  await list.evaluate((box) => box.scrollBy(0, -600));
  const place = await list.evaluate((box) => box.scrollTop);
  await finished(page).nth(QUESTIONS).waitFor();
  assert.equal(await list.evaluate((box) => box.scrollTop), place);
});
