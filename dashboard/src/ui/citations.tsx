import type { Element, ElementContent, Root, Text } from "hast";
import { createContext, useContext } from "react";
import { useTranslation } from "react-i18next";

const MARK = /\[(\d{1,2})\]/g;
const LITERAL = new Set(["code", "pre", "a"]);

const chip = (n: number): Element => ({
  type: "element",
  tagName: "sup",
  properties: { dataCitation: n },
  children: [],
});

/** `Says so [1].` → text, chip, text. */
function cut({ value }: Text): ElementContent[] {
  const parts: ElementContent[] = [];
  let end = 0;
  for (const match of value.matchAll(MARK)) {
    parts.push({ type: "text", value: value.slice(end, match.index) }, chip(Number(match[1])));
    end = match.index + match[0].length;
  }
  return [...parts, { type: "text", value: value.slice(end) }];
}

function walk(node: Root | Element) {
  node.children = (node.children as ElementContent[]).flatMap((child) => {
    if (child.type === "text") return cut(child);
    if (child.type === "element" && !LITERAL.has(child.tagName)) walk(child);
    return [child];
  });
}

/** Rehype plugin: `[1]` outside code and links becomes a place for a citation. */
export const citations = () => walk;

export interface Citable {
  title: (n: number) => string | undefined;
  open: (n: number) => void;
}

/** What the citations of the surrounding text refer to. */
export const CitableContext = createContext<Citable | undefined>(undefined);

/** A number that opens the passage it stands for; as plain text again when there is no such passage. */
export function Citation({ n }: { n: number }) {
  const { t } = useTranslation();
  const citable = useContext(CitableContext);
  const title = citable?.title(n);
  if (!citable || title === undefined) return <>[{n}]</>;
  return (
    <button
      type="button"
      className="citation"
      title={title}
      aria-label={t("source.open", { n, title })}
      onClick={() => citable.open(n)}
    >
      {n}
    </button>
  );
}
