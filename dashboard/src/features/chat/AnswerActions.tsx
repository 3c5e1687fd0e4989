import { CheckOutlined, CopyOutlined, LeftOutlined, ReloadOutlined, RightOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { useCopy } from "~/ui/clipboard";
import { Time } from "~/ui/Time";
import type { AssistantMessage } from "./thread";

export interface Switcher {
  index: number;
  count: number;
  choose: (index: number) => void;
}

interface Props {
  parts: readonly AssistantMessage[];
  switcher?: Switcher;
  onRetry?: () => void;
}

export function AnswerActions({ parts, switcher, onRetry }: Props) {
  const { t } = useTranslation();
  const { copied, copy } = useCopy();
  const last = parts.at(-1);
  const failed = last?.mark === "failed";
  const label = t(copied ? "copied" : "copy");
  const again = t(failed ? "message.again" : "message.regenerate");
  return (
    <div className="actions">
      <Button
        type="text"
        size="small"
        icon={copied ? <CheckOutlined /> : <CopyOutlined />}
        aria-label={label}
        title={label}
        onClick={() => copy(parts.map(({ text }) => text).join("\n\n"))}
      />
      {onRetry && (
        <Button
          type={failed ? "default" : "text"}
          size="small"
          icon={<ReloadOutlined />}
          aria-label={again}
          title={again}
          onClick={onRetry}
        >
          {failed && again}
        </Button>
      )}
      {switcher && <Versions {...switcher} />}
      {last && <Time at={last.at} />}
    </div>
  );
}

function Versions({ index, count, choose }: Switcher) {
  const { t } = useTranslation();
  return (
    <fieldset className="versions" aria-label={t("message.version", { n: index + 1, count })}>
      <Button
        type="text"
        size="small"
        icon={<LeftOutlined />}
        disabled={index === 0}
        aria-label={t("message.earlier")}
        onClick={() => choose(index - 1)}
      />
      <span>
        {index + 1}/{count}
      </span>
      <Button
        type="text"
        size="small"
        icon={<RightOutlined />}
        disabled={index === count - 1}
        aria-label={t("message.later")}
        onClick={() => choose(index + 1)}
      />
    </fieldset>
  );
}
