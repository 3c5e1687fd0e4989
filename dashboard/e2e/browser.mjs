import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, afterEach, before } from "node:test";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

/**
 * A visitor of the gateway at `base`, with an empty profile. `offences` collects what no page of ours may ever do: errors, dialogs, broken
 * policy, requests to anybody else.
 */
export async function visit(
  browser,
  base,
  {
    path = "/chat",
    language = "en",
    theme = "light",
    width = 1280,
    height = 800,
    touch = false,
    scale = 1,
  } = {},
) {
  const context = await browser.newContext({
    locale: language,
    colorScheme: theme,
    viewport: { width, height },
    hasTouch: touch,
    isMobile: touch,
    deviceScaleFactor: scale,
  });
  context.setDefaultTimeout(10_000);
  const offences = [];
  await context.exposeFunction("reportOffence", (what) => void offences.push(what));
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      window.reportOffence(
        `policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile} ${event.sample}`,
      ),
    );
  });
  context.on("request", (request) => {
    if (new URL(request.url()).origin !== base) offences.push(`request: ${request.url()}`);
  });
  context.on("page", (page) => {
    page.on("dialog", (dialog) => {
      offences.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("pageerror", (error) => offences.push(`error: ${error.message}`));
  });
  const page = await context.newPage();
  await page.goto(base + path);
  return { page, context, offences };
}

/** One browser for the tests of a file. Visits end with their test, which fails when there was an offence. */
export function browserForTests() {
  let browser;
  const visits = [];
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  afterEach(async () => {
    for (const { context, offences } of visits.splice(0)) {
      await context.close();
      assert.deepEqual(offences, []);
    }
  });
  return async (base, options) => {
    const one = await visit(browser, base, options);
    visits.push(one);
    return one;
  };
}

export const composer = (page) => page.getByRole("textbox", { name: /^(Message|消息)$/ });
export const stopButton = (page) => page.getByRole("button", { name: /^(Stop answering|停止生成)$/ });
export const answers = (page) => page.locator("article.answer");
/** Answers that have fully arrived. */
export const finished = (page) => page.locator('article.answer[aria-busy="false"]');
export const questions = (page) => page.locator("article.question");

/** How many of the words of a `slow:` answer are there. */
export const words = async (answer) => (await answer.textContent()).match(/word\d+/g)?.length ?? 0;

export async function ask(page, text) {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** Waits until `check` resolves to something true: for what no locator can wait for. */
export async function until(check, what, timeout = 15_000) {
  const end = Date.now() + timeout;
  while (Date.now() < end) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited ${timeout} ms in vain: ${what}`);
}

/** What axe has to say about the page as it stands. */
export async function axe(page) {
  // Animations blend colours that nobody sees for longer than an instant.
  await page.evaluate(() => {
    for (const one of document.getAnimations())
      if (one.effect?.getComputedTiming().endTime !== Infinity) one.finish();
  });
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run({
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  return violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`,
  );
}
