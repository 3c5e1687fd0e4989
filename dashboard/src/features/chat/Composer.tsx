import { ArrowUpOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { type FormEvent, type KeyboardEvent, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { focusLastMessage } from "./messageFocus";

const ID = "chat-composer";
export const focusComposer = () => document.getElementById(ID)?.focus();

/** Safari ends a composition before the Enter that chose the word; its old key code still gives it away. */
const IME_KEY_CODE = 229;

interface Props {
  answering: boolean;
  onSend: (text: string) => void;
  onStop: () => void;
}

export function Composer({ answering, onSend, onStop }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const empty = text.trim() === "";

  useEffect(() => {
    // On a touch screen the keyboard would cover the page before it was read.
    if (window.matchMedia("(hover: hover)").matches) focusComposer();
  }, []);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (empty) return;
    onSend(text.trim());
    setText("");
  };
  const onKey = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing || event.keyCode === IME_KEY_CODE) return;
    if (event.key === "Enter" && !event.shiftKey) submit(event);
    else if (event.key === "ArrowUp" && text === "" && focusLastMessage()) event.preventDefault();
  };

  return (
    <form className="composer" onSubmit={submit}>
      <div className="composer-box">
        {/* The copy of the text behind the field gives it its height: Ant Design measures with an inline style. */}
        <div className="composer-grow" data-text={`${text}\n`}>
          <textarea
            id={ID}
            rows={1}
            enterKeyHint="send"
            aria-label={t("composer.label")}
            placeholder={t("composer.placeholder")}
            value={text}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={onKey}
          />
        </div>
        {answering && (
          <Button
            shape="circle"
            type={empty ? "primary" : "default"}
            icon={<span className="stop-sign" />}
            aria-label={t("composer.stop")}
            title={`${t("composer.stop")} (Esc)`}
            onClick={onStop}
          />
        )}
        {!(answering && empty) && (
          <Button
            shape="circle"
            type="primary"
            htmlType="submit"
            icon={<ArrowUpOutlined />}
            disabled={empty}
            aria-label={t("composer.send")}
            title={t("composer.send")}
          />
        )}
      </div>
      <p className="composer-hint">{t("composer.hint")}</p>
    </form>
  );
}
