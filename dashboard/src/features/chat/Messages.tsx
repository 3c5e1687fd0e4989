import { ArrowDownOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { type KeyboardEvent, useLayoutEffect } from "react";
import { useTranslation } from "react-i18next";
import { moveFocus } from "./messageFocus";
import { Skeleton } from "./Skeleton";
import { TurnView } from "./TurnView";
import type { Source, Thread, Turn } from "./thread";
import { useStickToBottom } from "./useStickToBottom";

interface Props {
  turns: readonly Turn[];
  live: Thread["live"];
  answering: boolean;
  restoring: boolean;
  loading: boolean;
  onRetry: () => void;
  onSource: (source: Source) => void;
}

export function Messages({ turns, live, answering, restoring, loading, onRetry, onSource }: Props) {
  const { t } = useTranslation();
  const { box, away, toEnd } = useStickToBottom();

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new turn takes the reader to the end
  useLayoutEffect(toEnd, [turns.length]);

  const onKey = (event: KeyboardEvent<HTMLElement>) => {
    const target = event.target as HTMLElement;
    const mine = target === event.currentTarget || target.hasAttribute("data-message");
    if (mine && moveFocus(event.key)) event.preventDefault();
  };

  return (
    <div className="messages-frame">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard */}
      <section ref={box} className="messages" aria-label={t("message.list")} tabIndex={0} onKeyDown={onKey}>
        <div className="messages-inner">
          {loading && <Skeleton label={t("message.loading")} />}
          {turns.map((turn, index) => (
            <TurnView
              key={turn.key}
              turn={turn}
              live={live[turn.versions.at(-1)?.id ?? ""]}
              restoring={restoring}
              onRetry={index === turns.length - 1 && !answering ? onRetry : undefined}
              onSource={onSource}
            />
          ))}
        </div>
      </section>
      {away && (
        <Button
          className="newest"
          shape="circle"
          icon={<ArrowDownOutlined />}
          aria-label={t("message.newest")}
          title={t("message.newest")}
          onClick={toEnd}
        />
      )}
    </div>
  );
}
