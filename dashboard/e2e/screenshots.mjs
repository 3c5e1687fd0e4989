// Takes the pictures of the documentation: node e2e/screenshots.mjs FOLDER, with the gateway's address in MINDBOT_URL.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { finished, launch, visit } from "./browser.mjs";

const folder = process.argv[2];
if (!folder) {
  console.error("usage: node e2e/screenshots.mjs FOLDER");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const SIZES = [
  { width: 1440, height: 900, touch: false, scale: 1 },
  { width: 390, height: 844, touch: true, scale: 2 },
];
const QUESTION = { en: "How do I connect WeCom?", "zh-CN": "如何接入企业微信？" };

const browser = await launch();
try {
  for (const size of SIZES) {
    for (const theme of ["light", "dark"]) {
      for (const language of ["en", "zh-CN"]) await take(size, theme, language);
    }
  }
} finally {
  await browser.close();
}

async function take(size, theme, language) {
  const { page, context } = await visit(browser, { ...size, theme, language });
  const shoot = async (what) => {
    const path = join(folder, `chat-${what}-${size.width}-${theme}-${language}.png`);
    await page.screenshot({ path, animations: "disabled" });
    console.log(path);
  };
  const suggestion = page.getByRole("button", { name: QUESTION[language] });
  await suggestion.waitFor();
  await shoot("welcome");
  await suggestion.click();
  await finished(page).first().waitFor();
  // Colours of code come a moment after the code.
  if (await page.locator(".code").count()) await page.locator(".code .hljs").first().waitFor();
  await page.mouse.move(0, 0);
  await shoot("answer");

  const source = page.locator(".sources button").first();
  if (await source.isVisible()) {
    await source.click();
    await page.locator("dialog[open] .source").waitFor();
    await shoot("source");
    await page.keyboard.press("Escape");
  }
  if (size.touch) {
    await page.locator(".chat-head button").first().click();
    await page.locator("dialog[open] .side-list").waitFor();
    await shoot("conversations");
  }
  await context.close();
}
