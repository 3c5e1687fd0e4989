// The page of a newcomer: the configuration as it is checked in, and no key.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { answers, ask, browserForTests, finished } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";

const visit = browserForTests();
let gateway;
before(async () => {
  gateway = await startGateway();
});

const VISITORS = [
  {
    language: "en",
    suggestion: "How do I connect WeCom?",
    heading: "Connect a WeCom application",
    document: "guide/wecom.md",
    question: "How do I end an answer that is being written?",
    answer: /\/stop ends the answer that is being written/,
    nonsense: "Which pizza is the best one in Naples?",
    nothing: /I found nothing in the documents/,
    source: "Source 1",
  },
  {
    language: "zh-CN",
    suggestion: "如何接入企业微信？",
    heading: "接入企业微信应用",
    document: "guide/zh/wecom.md",
    question: "怎样让正在写的答案停下来？",
    answer: /\/stop 结束正在写的答案/,
    nonsense: "今天上海天气怎么样？",
    nothing: /文档里没有找到/,
    source: "来源 1",
  },
];

for (const visitor of VISITORS) {
  test(`a first conversation with the guide: ${visitor.language}`, async () => {
    const { page } = await visit(gateway.url, { path: "/", language: visitor.language });
    await page.getByRole("button", { name: visitor.suggestion }).click();
    await finished(page).waitFor();
    const answer = answers(page).last();
    await answer.locator("strong", { hasText: visitor.heading }).waitFor();
    await answer.locator(".hljs").waitFor();

    // The number in the text and the chip below it open the same passage.
    const passage = page.getByRole("dialog", { name: visitor.source });
    for (const opener of [answer.locator(".citation").first(), answer.locator(".sources button").first()]) {
      await opener.click();
      assert.equal(await passage.locator(".source-document").textContent(), visitor.document);
      await passage.locator(".code").waitFor();
      await page.keyboard.press("Escape");
      await passage.waitFor({ state: "hidden" });
      assert.ok(await opener.evaluate((button) => button === document.activeElement));
    }

    await ask(page, visitor.question);
    await finished(page).nth(1).waitFor();
    assert.match(await answers(page).last().textContent(), visitor.answer);

    await ask(page, visitor.nonsense);
    await finished(page).nth(2).waitFor();
    assert.match(await answers(page).last().textContent(), visitor.nothing);
    assert.equal(await answers(page).last().locator(".sources").count(), 0);
  });
}
