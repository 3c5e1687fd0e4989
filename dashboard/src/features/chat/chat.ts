import { Stored } from "~/app/stored";
import { ChatApi } from "./api";
import { type Conversation, Conversations, newKey } from "./conversations";
import { Outbox, type Unsent } from "./outbox";
import { STOP } from "./thread";

// The gateway names the platform in the page; the development server does not.
const named = document.querySelector<HTMLMetaElement>('meta[name="platform"]')?.content ?? "";
const platform = named === "" || named.startsWith("__") ? "web" : named;
const key = (name: string) => `mindbot.chat.${platform}.${name}`;

const conversationStore = new Stored<readonly Conversation[]>(key("conversations"), [], localStorage);
const unsentStore = new Stored<readonly Unsent[]>(key("outbox"), [], localStorage);

export const api = new ChatApi(platform);
export const conversations = new Conversations(conversationStore);

export const outbox = new Outbox(unsentStore, async ({ chat, clientId, text }) => {
  const accepted = await api.send({ conversation: conversations.find(chat)?.id, client_id: clientId, text });
  conversations.update(chat, { id: accepted.conversation });
  return accepted.message;
});

/** Keeps a message until the gateway has it. Returns the conversation's key, a new one when there was none. */
export function say(text: string, chat: string | undefined): string {
  const known = conversations.find(chat);
  const target = known?.key ?? newKey();
  if (known) conversations.update(target, { updated: new Date().toISOString() });
  else conversations.start(target, text);
  outbox.add({ clientId: newKey(), chat: target, text, at: new Date().toISOString() });
  return target;
}

/** Stopping is for now or not at all, so it does not wait in the outbox. */
export const stop = (conversation: string) => api.send({ conversation, client_id: newKey(), text: STOP });

export function forget(chat: string) {
  outbox.drop((one) => one.chat === chat);
  conversations.remove(chat);
}

window.addEventListener("storage", (event) => {
  conversationStore.reload(event.key);
  unsentStore.reload(event.key);
});
window.addEventListener("online", outbox.wake);
outbox.wake();
