/** What the gateway answered instead of the thing asked for (`application/problem+json`). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    /** How long the gateway asks to wait, in milliseconds. */
    readonly retryAfter = 0,
  ) {
    super(detail);
  }

  static async from(response: Response): Promise<Problem> {
    const body = (await response.json().catch(() => ({}))) as { title?: string; detail?: string };
    const seconds = Number(response.headers.get("retry-after"));
    const detail = body.detail ?? body.title ?? `${response.status} ${response.statusText}`;
    return new Problem(response.status, detail, Number.isFinite(seconds) ? seconds * 1000 : 0);
  }
}

/** True when the same request may well succeed later: no connection, or a gateway that is busy or restarting. */
export const isPassing = (error: unknown) =>
  !(error instanceof Problem) || error.status === 408 || error.status === 429 || error.status >= 500;
