import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Turn } from "./thread";

/** Says to screen readers that an answer is under way, and then the whole of it: word by word nobody could follow. */
export function Announcer({ turns, answering }: { turns: readonly Turn[]; answering: boolean }) {
  const { t } = useTranslation();
  const [words, setWords] = useState("");
  const before = useRef(false);
  const latest = useRef(turns);
  latest.current = turns;
  useEffect(() => {
    if (answering) setWords(t("message.waiting"));
    else if (before.current) {
      const parts = latest.current.at(-1)?.versions.at(-1)?.parts ?? [];
      setWords(t("message.done", { text: parts.map(({ text }) => text).join(" ") }));
    }
    before.current = answering;
  }, [answering, t]);
  return (
    <div className="sr-only" aria-live="polite">
      {words}
    </div>
  );
}
