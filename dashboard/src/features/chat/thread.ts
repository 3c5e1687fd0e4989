import type { Sent, Unsent } from "./outbox";

export interface Source {
  n: number;
  document: string;
  title: string;
  heading: string;
  text: string;
}

export interface UserMessage {
  id: string;
  role: "user";
  text: string;
  at: string;
  client_id?: string;
}

export interface AssistantMessage {
  id: string;
  role: "assistant";
  reply_to: string | null;
  text: string;
  at: string;
  mark: "stopped" | "failed" | "refused" | "notice" | null;
  degraded: boolean;
  sources: Source[];
}

export type Message = UserMessage | AssistantMessage;

export interface Notice {
  kind: "working" | "queued" | "busy" | "degraded" | "draining" | "missed";
  message: string | null;
  text: string;
  ahead?: number;
}

export interface Delta {
  message: string;
  text: string;
  replace: boolean;
}

export type ThreadEvent =
  | { type: "message"; data: Message }
  | { type: "delta"; data: Delta }
  | { type: "notice"; data: Notice };

/** What is known of an answer that has not arrived yet. */
export interface Live {
  text: string;
  notice?: Notice;
}

export interface Thread {
  /** In the order in which they first arrived. */
  messages: readonly Message[];
  /** By the id of the message that is being answered. */
  live: Readonly<Record<string, Live>>;
}

export const EMPTY_THREAD: Thread = { messages: [], live: {} };

export const isAnswer = (message: Message): message is AssistantMessage => message.role === "assistant";

/** A note such as "this takes a little longer" may precede the answer; anything else is the answer. */
const isAnswered = (thread: Thread, id: string) =>
  thread.messages.some((one) => isAnswer(one) && one.reply_to === id && one.mark !== "notice");

export function apply(thread: Thread, event: ThreadEvent): Thread {
  if (event.type === "message") return withMessage(thread, event.data);
  const id = event.data.message;
  if (id === null || isAnswered(thread, id)) return thread;
  const before = thread.live[id];
  const live: Live =
    event.type === "delta"
      ? { text: event.data.replace ? event.data.text : (before?.text ?? "") + event.data.text }
      : { text: before?.text ?? "", notice: event.data };
  return { ...thread, live: { ...thread.live, [id]: live } };
}

function withMessage(thread: Thread, message: Message): Thread {
  const at = thread.messages.findIndex((one) => one.id === message.id);
  const messages = at < 0 ? [...thread.messages, message] : thread.messages.with(at, message);
  if (!isAnswer(message) || message.reply_to === null) return { ...thread, messages };
  const { [message.reply_to]: _ended, ...live } = thread.live;
  return { messages, live };
}

/** One attempt at an answer. `/retry` adds another one to the same question. */
export interface Version {
  /** Id of the user message that asked for it; of an unsent one its client id. */
  id: string;
  /** Present while the gateway does not have the question. */
  unsent?: Unsent;
  parts: readonly AssistantMessage[];
}

export interface Turn {
  key: string;
  /** Absent when the assistant speaks first, or answers a hidden command. */
  question?: { text: string; at: string };
  versions: readonly Version[];
}

export const STOP = "/stop";
export const RETRY = "/retry";
export const FRESH = "/new";

interface Draft {
  turn: Turn;
  versions: (Version & { parts: AssistantMessage[] })[];
}

/** A note or a refusal may overtake answers that are still owed. */
const hasReply = ({ parts }: Version) => parts.some(({ mark }) => mark !== "notice" && mark !== "refused");

/** Messages as a reader sees them: question and answers together, commands folded into what they do. */
export function turnsOf(
  messages: readonly Message[],
  sent: readonly Sent[],
  unsent: readonly Unsent[],
): Turn[] {
  const drafts: Draft[] = [];
  const versions = new Map<string, Draft["versions"][number]>();
  const open = (key: string, question?: Turn["question"]): Draft => {
    const draft: Draft = { turn: { key, question, versions: [] }, versions: [] };
    drafts.push(draft);
    return draft;
  };
  const ask = (id: string, key: string, { text, at }: { text: string; at: string }, waiting?: Unsent) => {
    if (text === STOP) return;
    const version = { id, unsent: waiting, parts: [] };
    const last = text === RETRY ? drafts.findLast(({ turn }) => turn.question) : undefined;
    const draft = last ?? open(key, text === RETRY ? undefined : { text, at });
    draft.versions.push(version);
    versions.set(id, version);
  };

  const echoed = new Set<string | undefined>();
  for (const message of messages) {
    if (!isAnswer(message)) {
      echoed.add(message.client_id);
      ask(message.id, message.client_id ?? message.id, message);
    } else {
      const version = message.reply_to === null ? undefined : versions.get(message.reply_to);
      if (version) version.parts.push(message);
      else open(message.id).versions.push({ id: message.reply_to ?? message.id, parts: [message] });
    }
  }
  for (const one of sent) if (!echoed.has(one.clientId)) ask(one.message, one.clientId, one);
  for (const one of unsent) if (!echoed.has(one.clientId)) ask(one.clientId, one.clientId, one, one);

  // Answers come in order: what has none when a later question is answered was answered together with that one.
  const answered = drafts.findLastIndex(
    ({ turn, versions }) => turn.question?.text !== FRESH && versions.some(hasReply),
  );
  for (const draft of drafts.slice(0, Math.max(0, answered)))
    draft.versions = draft.versions.filter(({ parts }) => parts.length > 0);
  return drafts.map(({ turn, versions }) => ({ ...turn, versions }));
}

/** True while the gateway owes an answer to `version`. */
export function isPending(turn: Turn, version: Version, live: Thread["live"]): boolean {
  if (version.unsent || turn.question?.text === FRESH) return false;
  return version.parts.length === 0 || live[version.id] !== undefined;
}

/** True while any answer of the conversation is under way. */
export const isAnswering = (turns: readonly Turn[], live: Thread["live"]) =>
  turns.some((turn) => turn.versions.some((version) => isPending(turn, version, live)));
