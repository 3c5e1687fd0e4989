/**
 * The nonce that the gateway wrote into this response's `<meta name="csp-nonce">`.
 * Run-time style sheets (Ant Design's) carry it; without it the policy drops them.
 * Scripts get no nonce: they come from our own origin or not at all.
 */
export const cspNonce =
  document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content || undefined;

interface TrustedTypes {
  createPolicy(name: string, rules: { createHTML(text: string): string | null }): unknown;
}

/**
 * Ant Design fills its style elements through `innerHTML`, which Trusted Types refuse. Text without a `<` cannot
 * make an element, so that much is let through; markup stays refused, and so is every script.
 */
(globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy("default", {
  createHTML: (text) => (text.includes("<") ? null : text),
});
