// Hostile texts as the model's answer: nothing runs, nothing loads, nothing leaves the page.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { answers, ask, browserForTests, finished } from "./browser.mjs";
import { MODEL_ONLY, startGateway, startModel } from "./gateway.mjs";
import { PAYLOADS } from "./hostile-payloads.mjs";

const A_CONVERSATION = 13;

const TAGS = new Set(
  "A B BLOCKQUOTE BR BUTTON CODE DEL DIV EM FIGCAPTION FIGURE H1 H2 H3 H4 H5 H6 HR LI OL P PATH PRE SECTION SPAN STRONG SUP SVG TABLE TBODY TD TH THEAD TR UL".split(
    " ",
  ),
);

const visit = browserForTests();
let gateway;
before(async () => {
  gateway = await startGateway({ config: MODEL_ONLY, env: (await startModel()).env });
});

/** What is in the rendered answers that our Markdown never makes. */
const strangers = (page) =>
  page.evaluate(
    (tags) => {
      const found = [];
      for (const element of document.querySelectorAll(".md *")) {
        const ours = element.closest(".anticon, button");
        const tag = element.tagName.toUpperCase();
        if (!tags.includes(tag) || (!ours && ["SVG", "PATH", "BUTTON"].includes(tag))) found.push(`<${tag}>`);
        for (const { name, value } of element.attributes) {
          if (/^on|^(style|src|srcset|srcdoc|action|formaction|name|ping)$/.test(name))
            found.push(`${tag} ${name}=${value}`);
        }
        if (tag !== "A") continue;
        const url = new URL(element.href, location.href);
        const inside = url.origin === location.origin && /^[#/]/.test(element.getAttribute("href"));
        if (!inside && !["http:", "https:", "mailto:"].includes(url.protocol))
          found.push(`link to ${element.href}`);
        if (!inside && !element.rel.includes("noopener"))
          found.push(`link without noopener to ${element.href}`);
      }
      return found;
    },
    [...TAGS],
  );

for (let first = 0; first < PAYLOADS.length; first += A_CONVERSATION) {
  const payloads = PAYLOADS.slice(first, first + A_CONVERSATION);
  test(`payloads ${first + 1} to ${first + payloads.length} stay text`, async () => {
    const { page } = await visit(gateway.url);
    for (const [index, payload] of payloads.entries()) {
      await ask(page, `echo:${payload}`);
      await finished(page).nth(index).waitFor();
      assert.deepEqual(await strangers(page), [], payload);
    }
    assert.equal(await answers(page).count(), payloads.length);
    // Once more as history, all at once, with the pointer on every link.
    await page.reload();
    await finished(page)
      .nth(payloads.length - 1)
      .waitFor();
    for (const link of await page.locator(".md a").all()) await link.hover();
    assert.deepEqual(await strangers(page), []);
    assert.equal(await page.evaluate(() => window.__pwned), undefined);
  });
}

test("a link says where it leads when its text says something else", async () => {
  const { page } = await visit(gateway.url);
  await ask(page, "echo:[https://bank.example](https://evil.example/x) and https://plain.example/y");
  await finished(page).waitFor();
  assert.deepEqual(await page.locator(".md .host").allTextContents(), ["evil.example"]);
});
