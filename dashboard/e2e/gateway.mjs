// Starts what the tests talk to: gateways (the real binary) and the stand-in for a model. They end with the tests.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BINARY = process.env.MINDBOT_BIN;
/** Without a key the gateway answers from its guide. */
const { OPENAI_API_KEY: _key, OPENAI_BASE_URL: _url, OPENAI_MODEL: _model, ...ENVIRONMENT } = process.env;

const running = new Set();
const folders = [];
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Runs the binary until it says its address after `prefix`. */
async function run(args, prefix, options) {
  if (!BINARY) throw new Error("MINDBOT_BIN must name the binary that is tested");
  const child = spawn(BINARY, args, { ...options, stdio: ["ignore", "ignore", "pipe"] });
  running.add(child);
  child.on("exit", () => running.delete(child));
  let log = "";
  const address = new Promise((resolve, reject) => {
    child.stderr.setEncoding("utf8").on("data", (text) => {
      log = (log + text).slice(-100_000);
      const found = new RegExp(`^${prefix}(\\S+)`, "m").exec(log);
      if (found) resolve(found[1]);
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${args[0]} ended with ${code}:\n${log}`)));
  });
  const ready = { child, address: await address };
  // From here on it keeps no test waiting for its end.
  child.unref();
  child.stderr.unref();
  return ready;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** The configuration that a newcomer has. */
const AS_CHECKED_IN = readFileSync(new URL("../../config.toml", import.meta.url), "utf8");

/** A gateway with a store of its own, which survives `kill` and `start`. */
export async function startGateway({ config = AS_CHECKED_IN, env = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "mindbot-page-"));
  folders.push(folder);
  writeFileSync(join(folder, "config.toml"), config);
  // The page comes back to the same address after a restart.
  const bind = `127.0.0.1:${await freePort()}`;
  const options = {
    cwd: folder,
    env: { ...ENVIRONMENT, MINDBOT_SERVER__BIND: bind, MINDBOT_PIPELINE__RATE_PER_CONVERSATION: "0", ...env },
  };
  const start = () => run(["serve"], "MindBot: ", options);
  let { child } = await start();
  return {
    url: `http://${bind}`,
    async start() {
      ({ child } = await start());
    },
    /** As a power cut would: no word of farewell. */
    async kill() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

/**
 * A model that answers `echo:TEXT` with TEXT and `slow:N` with N words, ten a second. `script` makes calls fail; its
 * rules are those of `mindbot simulate openai`.
 */
export async function startModel() {
  const { address } = await run(["simulate", "openai", "--port", "0"], "openai stand-in: ");
  return {
    /** For a gateway with the configuration of a newcomer: what switches its model on. */
    env: { OPENAI_API_KEY: "sk-stand-in", OPENAI_BASE_URL: `${address}/v1` },
    async script(rules) {
      const response = await fetch(`${address}/__script`, { method: "POST", body: JSON.stringify(rules) });
      if (!response.ok) throw new Error(`the script was refused: ${await response.text()}`);
    },
  };
}

export const TOKEN = "open sesame, please";

/** One assistant that has this model only, on a chat for everybody here and on one for those with a token. */
export const MODEL_ONLY = `
[[platforms]]
id = "web"
kind = "web"
[[platforms]]
id = "guarded"
kind = "web"
access = "token"
access_token = "${TOKEN}"
[[providers]]
id = "model"
kind = "openai"
api_key = "\${OPENAI_API_KEY}"
base_url = "\${OPENAI_BASE_URL}"
models = ["stand-in"]
[[assistants]]
id = "helper"
providers = ["model"]
`;
