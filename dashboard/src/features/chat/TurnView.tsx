import { memo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Answer } from "./Answer";
import { Delivery } from "./Delivery";
import { FRESH, type Live, type Source, type Turn } from "./thread";

interface Props {
  turn: Turn;
  /** Of the newest version. */
  live: Live | undefined;
  restoring: boolean;
  /** Present where the answer may be made again. */
  onRetry?: () => void;
  onSource: (source: Source) => void;
}

/** A question and its answer, of which there may be several versions. */
export const TurnView = memo(({ turn, live, restoring, onRetry, onSource }: Props) => {
  const { t } = useTranslation();
  const count = turn.versions.length;
  const [chosen, setChosen] = useState<number>();
  // Another version replaces what was chosen before it came.
  const [seen, setSeen] = useState(count);
  if (seen !== count) {
    setSeen(count);
    setChosen(undefined);
  }
  const index = chosen ?? count - 1;
  const version = turn.versions[index];

  if (turn.question?.text === FRESH && !version?.unsent) {
    return (
      <p className="divider" data-message tabIndex={-1}>
        {version?.parts[0]?.text ?? t("message.fresh")}
      </p>
    );
  }
  return (
    <div className="turn">
      {turn.question && (
        <article className="question" aria-label={t("message.you")} data-message tabIndex={-1}>
          {turn.question.text}
        </article>
      )}
      {version?.unsent && <Delivery unsent={version.unsent} />}
      {version && !version.unsent && (
        <Answer
          version={version}
          live={index === count - 1 ? live : undefined}
          restoring={restoring}
          switcher={count > 1 ? { index, count, choose: setChosen } : undefined}
          onRetry={onRetry}
          onSource={onSource}
        />
      )}
    </div>
  );
});
