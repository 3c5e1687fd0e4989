import { ArrowRightOutlined } from "@ant-design/icons";
import { useTranslation } from "react-i18next";
import { Markdown } from "~/ui/Markdown";
import { Mark } from "./Mark";

const QUESTIONS = ["wecom", "model", "restart"] as const;

/** The first visit: what the guide can answer, and how to go on from there. */
export function Welcome({ onAsk }: { onAsk: (question: string) => void }) {
  const { t } = useTranslation();
  return (
    <div className="welcome">
      <div className="welcome-inner">
        <Mark />
        <h2>{t("welcome.title")}</h2>
        <p>{t("welcome.text")}</p>
        <ul>
          {QUESTIONS.map((one) => {
            const question = t(`welcome.questions.${one}`);
            return (
              <li key={one}>
                <button type="button" className="suggestion" onClick={() => onAsk(question)}>
                  {question}
                  <ArrowRightOutlined aria-hidden />
                </button>
              </li>
            );
          })}
        </ul>
        <div className="welcome-model">
          <Markdown text={t("welcome.model")} />
        </div>
      </div>
    </div>
  );
}
