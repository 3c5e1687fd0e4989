import type { Stored } from "~/app/stored";

export interface Conversation {
  /** Made here, and in the page's address. */
  key: string;
  /** Made by the gateway with the first message. */
  id?: string;
  title: string;
  updated: string;
}

const TITLE_LENGTH = 60;

/** The first question on one line. */
export const titleOf = (question: string) => question.replace(/\s+/g, " ").trim().slice(0, TITLE_LENGTH);

/** `crypto.randomUUID` exists on secure origins only, and a gateway in a local network may not have one. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The conversations of this browser, the latest first. */
export class Conversations {
  readonly get: () => readonly Conversation[];
  readonly subscribe: (listener: () => void) => () => void;

  constructor(private readonly store: Stored<readonly Conversation[]>) {
    this.get = store.get;
    this.subscribe = store.subscribe;
  }

  find(key: string | undefined): Conversation | undefined {
    return this.store.get().find((one) => one.key === key);
  }

  start(key: string, question: string) {
    const now = new Date().toISOString();
    this.store.set([{ key, title: titleOf(question), updated: now }, ...this.store.get()]);
  }

  update(key: string, change: Partial<Omit<Conversation, "key">>) {
    const changed = this.store.get().map((one) => (one.key === key ? { ...one, ...change } : one));
    this.store.set(changed.toSorted((a, b) => b.updated.localeCompare(a.updated)));
  }

  remove(key: string) {
    this.store.set(this.store.get().filter((one) => one.key !== key));
  }
}

export function matching(list: readonly Conversation[], query: string): Conversation[] {
  const words = query.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  return list.filter(({ title }) => words.every((word) => title.toLocaleLowerCase().includes(word)));
}

/** Local midnight that a moment belongs to. */
const dayOf = (moment: Date) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate()).getTime();

export interface Day {
  /** How many days ago; 0 is today. */
  ago: number;
  start: number;
  items: Conversation[];
}

/** Groups a list that is sorted by time. */
export function byDay(list: readonly Conversation[], now: Date): Day[] {
  const days: Day[] = [];
  for (const item of list) {
    const start = dayOf(new Date(item.updated));
    const last = days.at(-1);
    if (last?.start === start) last.items.push(item);
    // Rounded: a day with a clock change has 23 or 25 hours.
    else days.push({ ago: Math.round((dayOf(now) - start) / 86_400_000), start, items: [item] });
  }
  return days;
}
