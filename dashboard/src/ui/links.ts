const SAFE = /^(https?:\/\/|mailto:|#|\/(?![/\\]))/i;

/** A link that an answer may make; anything else becomes plain text. */
export const safeUrl = (url: string) => (SAFE.test(url) ? url : "");

/** Where a link leads, when its text does not already say exactly that. */
export function hostOf(href: string, text: string): string | undefined {
  if (!/^https?:/i.test(href)) return undefined;
  const plain = (url: string) =>
    url
      .trim()
      .replace(/^https?:\/\//i, "")
      .replace(/\/$/, "");
  if (plain(text) === plain(href)) return undefined;
  try {
    return new URL(href).host;
  } catch {
    return undefined;
  }
}
