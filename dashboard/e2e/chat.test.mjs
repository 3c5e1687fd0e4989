// The chat page of a gateway that has a model.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import {
  answers,
  ask,
  browserForTests,
  composer,
  finished,
  questions,
  stopButton,
  until,
  words,
} from "./browser.mjs";
import { MODEL_ONLY, startGateway, startModel } from "./gateway.mjs";

const visit = browserForTests();
let model;
let gateway;
before(async () => {
  model = await startModel();
  gateway = await startGateway({ config: MODEL_ONLY, env: model.env });
});
const open = (options) => visit(gateway.url, options);

test("an answer is streamed and ends as Markdown", async () => {
  const { page } = await open();
  await ask(page, "slow:40");
  await until(async () => (await words(answers(page).last())) > 2, "first words");
  const early = await words(answers(page).last());
  await until(async () => (await words(answers(page).last())) > early, "more words");
  await finished(page).waitFor();
  assert.equal(await words(answers(page).last()), 40);

  await ask(page, "echo:**bold** and\n\n```js\nconst a = 1;\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |");
  await finished(page).nth(1).waitFor();
  const answer = answers(page).last();
  assert.equal(await answer.locator("strong").textContent(), "bold");
  assert.equal(await answer.locator("figcaption > span").textContent(), "js");
  assert.equal(await answer.locator("td").count(), 2);
  await answer.locator(".hljs-keyword").first().waitFor();
});

test("Enter sends, Shift+Enter breaks, and an unfinished composition does neither", async () => {
  const { page } = await open();
  await composer(page).fill("echo:one");
  await composer(page).press("Shift+Enter");
  await composer(page).pressSequentially("two");
  await composer(page).evaluate((field) => {
    const init = { key: "Enter", bubbles: true, cancelable: true };
    field.dispatchEvent(new KeyboardEvent("keydown", { ...init, isComposing: true }));
    field.dispatchEvent(new KeyboardEvent("keydown", { ...init, keyCode: 229 }));
  });
  assert.equal(await composer(page).inputValue(), "echo:one\ntwo");
  await composer(page).press("Enter");
  await finished(page).waitFor();
  assert.equal(await questions(page).textContent(), "echo:one\ntwo");
  assert.equal(await composer(page).inputValue(), "");
});

test("a reload in mid-answer resumes", async () => {
  const { page } = await open();
  await ask(page, "slow:60");
  await until(async () => (await words(answers(page).last())) > 5, "first words");
  await page.reload();
  await until(async () => (await words(answers(page).last())) > 8, "words after the reload");
  await finished(page).waitFor();
  assert.equal(await words(answers(page).last()), 60);
  assert.equal(await questions(page).count(), 1);
});

test("a message written offline is kept, also over a reload of its tab, and sent once", async () => {
  const { page, context } = await open();
  await ask(page, "echo:before");
  await finished(page).waitFor();
  await context.setOffline(true);
  await ask(page, "echo:written offline");
  await page.getByText("Not sent yet").waitFor();
  await page.getByText("Connection lost, reconnecting").waitFor();
  await context.setOffline(false);
  await finished(page).nth(1).waitFor();
  assert.match(await answers(page).last().textContent(), /written offline/);
  assert.equal(await page.getByText("Connection lost, reconnecting").count(), 0);
  await page.reload();
  await finished(page).nth(1).waitFor();
  assert.equal(await questions(page).count(), 2);
});

test("a message whose answer from the gateway was lost is not sent twice", async () => {
  const { page } = await open();
  let lost = 0;
  await page.route("**/messages", async (route) => {
    if (lost++ > 0) return route.continue();
    await route.fetch();
    await route.abort();
  });
  await ask(page, "echo:only once");
  await finished(page).waitFor();
  await page.reload();
  await finished(page).waitFor();
  assert.equal(await questions(page).count(), 1);
});

test("a refused message says why, and can be sent again or discarded", async () => {
  const { page } = await open();
  await page.route("**/messages", (route) =>
    route.fulfill({
      status: 422,
      contentType: "application/problem+json",
      body: JSON.stringify({ title: "Unprocessable", status: 422, detail: "the text is too long" }),
    }),
  );
  await ask(page, "echo:again");
  await page.getByText("Could not be sent: the text is too long").waitFor();
  await page.unroute("**/messages");
  await page.getByRole("button", { name: "Try again" }).click();
  await finished(page).waitFor();
  assert.equal(await page.getByText("Could not be sent").count(), 0);
});

test("the stop button and Esc stop the answer and keep what was said", async () => {
  const { page } = await open();
  for (const stop of [() => stopButton(page).click(), () => page.keyboard.press("Escape")]) {
    const count = await finished(page).count();
    await ask(page, "slow:400");
    await until(
      async () => (await answers(page).count()) > count && (await words(answers(page).last())) > 3,
      "first words",
    );
    await stop();
    await finished(page).nth(count).waitFor();
    assert.match(await answers(page).last().textContent(), /Stopped. This is a partial answer/);
    assert.ok((await words(answers(page).last())) < 400);
    await stopButton(page).waitFor({ state: "hidden" });
  }
  assert.equal(await page.getByText("/stop", { exact: true }).count(), 0);
});

test("regenerating makes another version of the same answer", async () => {
  const { page } = await open();
  await ask(page, "echo:the same again");
  await finished(page).waitFor();
  await page.getByRole("button", { name: "Regenerate" }).click();
  await page.getByText("2/2").waitFor();
  assert.equal(await answers(page).count(), 1);
  assert.equal(await questions(page).count(), 1);
  await page.getByRole("button", { name: "Previous answer" }).click();
  await page.getByText("1/2").waitFor();
  assert.match(await answers(page).textContent(), /the same again/);
  await page.reload();
  await page.getByText("2/2").waitFor();
});

test("two conversations stay apart; rename, search, delete", async () => {
  const { page } = await open();
  await ask(page, "echo:apples");
  await finished(page).waitFor();
  await page.getByRole("button", { name: "New chat" }).click();
  await ask(page, "echo:pears");
  await finished(page).waitFor();
  assert.match(await answers(page).textContent(), /pears/);
  const list = page.getByRole("navigation", { name: "Conversations" });
  await list.getByRole("button", { name: "echo:apples", exact: true }).click();
  await answers(page).filter({ hasText: "apples" }).waitFor();
  assert.equal(await answers(page).count(), 1);
  await page.goBack();
  await answers(page).filter({ hasText: "pears" }).waitFor();

  await list.getByRole("button", { name: "More actions for “echo:apples”" }).click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Rename" }).fill("Fruit, first kind");
  await page.keyboard.press("Enter");
  await list.getByRole("button", { name: "Fruit, first kind", exact: true }).waitFor();

  await page.keyboard.press("Control+k");
  await page.keyboard.type("fruit");
  assert.equal(await list.locator("li").count(), 1);
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  assert.equal(await list.locator("li").count(), 2);

  await list.getByRole("button", { name: "More actions for “Fruit, first kind”" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await until(async () => (await list.locator("li").count()) === 1, "one conversation left");
  await answers(page).filter({ hasText: "pears" }).waitFor();
});

test("messages written meanwhile wait in line and are answered in order", async () => {
  const { page } = await open();
  await ask(page, "slow:30");
  await ask(page, "echo:second");
  await ask(page, "echo:third");
  await page.getByText("In line, 1 message before you").waitFor();
  await page.getByText("In line, 2 messages before you").waitFor();
  await finished(page).nth(2).waitFor();
  assert.equal(await page.getByText("In line").count(), 0);
  const texts = await answers(page).locator(".md").allTextContents();
  assert.deepEqual(texts.slice(1), ["second", "third"]);
});

test("two tabs show one conversation", async () => {
  const { page, context } = await open();
  await ask(page, "slow:20");
  const other = await context.newPage();
  await other.goto(page.url());
  await ask(other, "echo:from the other tab");
  for (const tab of [page, other]) {
    await finished(tab).nth(1).waitFor();
    assert.deepEqual(await questions(tab).allTextContents(), ["slow:20", "echo:from the other tab"]);
    assert.equal(await words(answers(tab).first()), 20);
  }
  await page.getByRole("button", { name: "New chat" }).click();
  await ask(page, "echo:another one");
  await other.getByRole("button", { name: "echo:another one", exact: true }).click();
  await finished(other).filter({ hasText: "another one" }).waitFor();
});

test("/new starts afresh in the same conversation", async () => {
  const { page } = await open();
  await ask(page, "echo:before");
  await finished(page).waitFor();
  await ask(page, "/new");
  await page.locator(".divider").waitFor();
  await stopButton(page).waitFor({ state: "hidden" });
  await ask(page, "echo:after");
  await finished(page).nth(1).waitFor();
  assert.equal(await questions(page).count(), 2);
});

test("keyboard: / writes, Ctrl+K searches, arrows walk through the messages", async () => {
  const { page } = await open();
  for (const text of ["echo:first", "echo:second"]) {
    const count = await finished(page).count();
    await ask(page, text);
    await finished(page).nth(count).waitFor();
  }
  await composer(page).press("ArrowUp");
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");
  assert.match(await focused(), /^second/);
  await page.keyboard.press("ArrowUp");
  assert.equal(await focused(), "echo:second");
  await page.keyboard.press("Home");
  assert.equal(await focused(), "echo:first");
  await page.keyboard.press("ArrowDown");
  assert.match(await focused(), /^first/);
  await page.keyboard.press("Control+k");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "chat-search");
  await page.getByRole("button", { name: "New chat" }).focus();
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "TEXTAREA");
  assert.equal(await composer(page).inputValue(), "");
});

test("everything is done without a mouse", async () => {
  const { page } = await open();
  /** Tabs until the focus is on a control of this name. */
  const tabTo = (name, key = "Shift+Tab") =>
    until(async () => {
      const focused = await page.evaluate(() => {
        const { ariaLabel, textContent } = document.activeElement;
        return ariaLabel ?? textContent;
      });
      if (focused === name) return true;
      await page.keyboard.press(key);
      return false;
    }, `focus on ${name}`);
  await tabTo("Message", "Tab");
  await page.keyboard.type("echo:by keyboard");
  await page.keyboard.press("Enter");
  await finished(page).waitFor();
  await tabTo("Regenerate");
  await page.keyboard.press("Enter");
  await page.getByText("2/2").waitFor();
  await tabTo("Appearance and language");
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "Dark" }).waitFor();
  await tabTo("Dark", "ArrowDown");
  await page.keyboard.press("Enter");
  await until(() => page.evaluate(() => document.documentElement.className === "dark"), "dark");
  await page.keyboard.press("Escape");
  await tabTo("More actions for “echo:by keyboard”");
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "Rename" }).waitFor();
  await page.keyboard.press("Escape");
  await tabTo("New chat");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "How can I help?" }).waitFor();
  await tabTo("How do I use a real model?", "Tab");
  await page.keyboard.press("Enter");
  await finished(page).waitFor();
});

test("language and appearance switch and are remembered", async () => {
  const { page } = await open();
  await page.getByRole("button", { name: "Appearance and language" }).click();
  await page.getByRole("menuitem", { name: "简体中文" }).click();
  await page.getByRole("button", { name: "外观与语言" }).waitFor();
  await page.getByRole("menuitem", { name: "深色" }).click();
  await until(() => page.evaluate(() => document.documentElement.className === "dark"), "dark");
  await page.reload();
  await page.getByRole("heading", { name: "有什么可以帮您？" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.className), "dark");
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
});

test("on a phone nothing overflows and the conversations are in a drawer", async () => {
  const { page } = await open({ width: 390, height: 844, touch: true });
  const long = `${"x".repeat(300)} \`${"y".repeat(300)}\`\n\n| ${"column | ".repeat(12)}\n|${"---|".repeat(12)}\n| ${"cell | ".repeat(12)}`;
  await ask(page, `echo:${long}\n\n\`\`\`\n${"z".repeat(300)}\n\`\`\``);
  await finished(page).waitFor();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 390, `the page is ${width} px wide`);
  await page.getByRole("button", { name: "Open conversations" }).click();
  const drawer = page.getByRole("dialog", { name: "Conversations" });
  await drawer.getByRole("button", { name: "New chat" }).click();
  await drawer.waitFor({ state: "hidden" });
  await page.getByRole("heading", { name: "How can I help?" }).waitFor();
  await page.getByRole("button", { name: "Open conversations" }).click();
  await drawer.getByRole("button", { name: "Appearance and language" }).click();
  await page.getByRole("menuitem", { name: "Dark" }).click();
  await until(() => page.evaluate(() => document.documentElement.className === "dark"), "dark");
});

test("the page paints, and says how soon", async (t) => {
  const { page } = await open();
  await page.reload();
  const paint = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const observer = new PerformanceObserver((list) => {
          for (const one of list.getEntriesByName("first-contentful-paint")) resolve(one.startTime);
        });
        observer.observe({ type: "paint", buffered: true });
      }),
  );
  assert.ok(paint > 0);
  t.diagnostic(`first contentful paint after ${Math.round(paint)} ms`);
});
