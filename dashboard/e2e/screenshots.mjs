// Takes the pictures of the documentation: conversations with the guide, as a newcomer has them.
import { mkdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ask, finished, launch, visit } from "./browser.mjs";
import { startGateway } from "./gateway.mjs";

const FOLDER = new URL("../../docs/pictures/", import.meta.url);
mkdirSync(FOLDER, { recursive: true });

const EN = {
  earlier: ["Who may open the chat page?", "What happens to my messages when MindBot restarts?"],
  question: "How do I connect a real model?",
};
const ZH = {
  language: "zh-CN",
  earlier: ["谁可以打开聊天页面？", "升级时消息会不会丢？"],
  question: "怎样接入大模型？",
};
const DESK = { width: 1440, height: 820 };
const PICTURES = {
  chat: { ...EN, ...DESK },
  "chat-dark": { ...EN, ...DESK, theme: "dark" },
  "chat-zh": { ...ZH, ...DESK },
  "chat-phone": { ...EN, width: 390, height: 900, touch: true, scale: 1.75 },
};

const gateway = await startGateway();
const browser = await launch();
for (const [name, { earlier, question, ...options }] of Object.entries(PICTURES)) {
  const { page, context } = await visit(browser, gateway.url, options);
  for (const text of [...earlier, question]) {
    await page.goto(`${gateway.url}/chat`);
    await ask(page, text);
    await finished(page).first().waitFor();
  }
  // Colours of code come a moment after the code.
  await page.locator(".code .hljs").first().waitFor();
  await page.mouse.move(0, 0);
  const path = fileURLToPath(new URL(`${name}.png`, FOLDER));
  await page.screenshot({ path, animations: "disabled" });
  console.log(path, `${Math.round(statSync(path).size / 1000)} kB`);
  await context.close();
}
await browser.close();
process.exit();
