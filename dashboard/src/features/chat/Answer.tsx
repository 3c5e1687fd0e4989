import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { type Citable, CitableContext } from "~/ui/citations";
import { Markdown } from "~/ui/Markdown";
import { AnswerActions, type Switcher } from "./AnswerActions";
import { Skeleton } from "./Skeleton";
import type { AssistantMessage, Live, Source, Version } from "./thread";

interface Props {
  version: Version;
  live: Live | undefined;
  restoring: boolean;
  switcher?: Switcher;
  onRetry?: () => void;
  onSource: (source: Source) => void;
}

export function Answer({ version, live, restoring, switcher, onRetry, onSource }: Props) {
  const { t } = useTranslation();
  const { parts } = version;
  const pending = parts.length === 0 || live !== undefined;
  return (
    <article className="answer" aria-label={t("message.bot")} aria-busy={pending} data-message tabIndex={-1}>
      {parts.map((part) => (
        <Part key={part.id} part={part} onSource={onSource} />
      ))}
      {pending && <Growing live={live} restoring={restoring} />}
      {!pending && <AnswerActions parts={parts} switcher={switcher} onRetry={onRetry} />}
    </article>
  );
}

function Growing({ live, restoring }: { live: Live | undefined; restoring: boolean }) {
  const { t } = useTranslation();
  const notice = live?.notice;
  const words = () => {
    if (restoring && live?.text) return t("message.restoring");
    if (notice?.kind === "queued")
      return notice.ahead ? t("message.queued", { count: notice.ahead }) : t("message.next");
    return notice && notice.kind !== "working" ? notice.text : "";
  };
  const state = words();
  return (
    <>
      {live?.text ? <Markdown text={live.text} streaming /> : <Skeleton label={t("message.waiting")} />}
      {state && <p className="remark late">{state}</p>}
    </>
  );
}

function Part({ part, onSource }: { part: AssistantMessage; onSource: (source: Source) => void }) {
  const { t } = useTranslation();
  const { mark, sources } = part;
  const citable = useMemo<Citable>(() => {
    const find = (n: number) => sources.find((source) => source.n === n);
    return {
      title: (n) => find(n)?.title,
      open: (n) => {
        const source = find(n);
        if (source) onSource(source);
      },
    };
  }, [sources, onSource]);
  return (
    <CitableContext value={citable}>
      <div className={mark ? `part ${mark}` : "part"}>
        {(mark === "failed" || mark === "refused") && <strong>{t(`message.${mark}`)}</strong>}
        <Markdown text={part.text} />
      </div>
      {mark === "stopped" && <p className="remark stopped">{t("message.stopped")}</p>}
      {part.degraded && !mark && (
        <p className="remark warning">{t(sources.length > 0 ? "message.degraded" : "message.reduced")}</p>
      )}
      {sources.length > 0 && (
        <ul className="sources" aria-label={t("source.list")}>
          {sources.map((source) => (
            <li key={source.n}>
              <button type="button" onClick={() => onSource(source)}>
                <b>{source.n}</b>
                {source.heading || source.title}
              </button>
            </li>
          ))}
        </ul>
      )}
    </CitableContext>
  );
}
