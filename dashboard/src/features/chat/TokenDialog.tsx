import { Button, Input } from "antd";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { Dialog } from "~/ui/Dialog";
import { api } from "./chat";

interface Props {
  open: boolean;
  /** True when a token was given before and refused. */
  again: boolean;
  onToken: () => void;
  onClose: () => void;
}

/** Asks for the token of a platform that is not open to everyone. It is kept for this tab only. */
export function TokenDialog({ open, again, onToken, onClose }: Props) {
  const { t } = useTranslation();
  const [token, setToken] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!token.trim()) return;
    api.setToken(token.trim());
    setToken("");
    onToken();
  };
  return (
    <Dialog open={open} title={t("token.title")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        <p role={again ? "alert" : undefined}>{t(again ? "token.wrong" : "token.text")}</p>
        <Input.Password
          autoFocus
          autoComplete="off"
          visibilityToggle={false}
          aria-label={t("token.label")}
          placeholder={t("token.label")}
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
        <div className="dialog-actions">
          <Button type="primary" htmlType="submit" disabled={!token.trim()}>
            {t("token.submit")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
