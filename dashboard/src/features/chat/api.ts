import { Problem } from "~/live/problem";

export interface Accepted {
  conversation: string;
  message: string;
}

/** A half-open connection must not hold a message back for longer than this. */
const SEND_TIMEOUT_MS = 20_000;

/** The two requests of a web platform's chat, with the visitor's token when the platform asks for one. */
export class ChatApi {
  private readonly base: string;
  private readonly tokenKey: string;

  constructor(platform: string) {
    this.base = `/api/v1/chat/${encodeURIComponent(platform)}`;
    this.tokenKey = `mindbot.token.${platform}`;
  }

  get token(): string | null {
    return sessionStorage.getItem(this.tokenKey);
  }

  setToken(token: string) {
    sessionStorage.setItem(this.tokenKey, token);
  }

  async send(message: { conversation?: string; client_id: string; text: string }): Promise<Accepted> {
    const response = await fetch(`${this.base}/messages`, {
      method: "POST",
      headers: { ...this.authorization(), "content-type": "application/json" },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
    });
    if (!response.ok) throw await Problem.from(response);
    return (await response.json()) as Accepted;
  }

  events(conversation: string, lastEventId: string | undefined, signal: AbortSignal): Promise<Response> {
    return fetch(`${this.base}/events?conversation=${encodeURIComponent(conversation)}`, {
      headers: {
        ...this.authorization(),
        accept: "text/event-stream",
        ...(lastEventId ? { "last-event-id": lastEventId } : {}),
      },
      cache: "no-store",
      signal,
    });
  }

  private authorization(): Record<string, string> {
    return this.token ? { authorization: `Bearer ${this.token}` } : {};
  }
}
