import { EditOutlined, SearchOutlined } from "@ant-design/icons";
import { Button, Input } from "antd";
import { useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Dialog } from "~/ui/Dialog";
import { ConversationItem } from "./ConversationItem";
import { conversations, forget } from "./chat";
import { byDay, type Conversation, type Day, matching } from "./conversations";
import { Mark } from "./Mark";
import { SettingsMenu } from "./SettingsMenu";

interface Props {
  current: string | undefined;
  onChoose: (chat: string | undefined) => void;
}

export function Sidebar({ current, onChoose }: Props) {
  const { t, i18n } = useTranslation();
  const list = useSyncExternalStore(conversations.subscribe, conversations.get);
  const [query, setQuery] = useState("");
  const [removing, setRemoving] = useState<Conversation>();
  const found = matching(list, query);

  const nameOf = ({ ago, start }: Day) => {
    if (ago === 0) return t("list.today");
    if (ago === 1) return t("list.yesterday");
    const sameYear = new Date(start).getFullYear() === new Date().getFullYear();
    return new Date(start).toLocaleDateString(i18n.language, {
      month: "long",
      day: "numeric",
      year: sameYear ? undefined : "numeric",
    });
  };
  const remove = () => {
    if (!removing) return;
    forget(removing.key);
    if (removing.key === current) onChoose(undefined);
    setRemoving(undefined);
  };

  return (
    <div className="side">
      <div className="side-brand">
        <Mark />
        MindBot
      </div>
      <Button block icon={<EditOutlined aria-hidden />} onClick={() => onChoose(undefined)}>
        {t("list.fresh")}
      </Button>
      <Input
        id="chat-search"
        type="search"
        allowClear
        prefix={<SearchOutlined aria-hidden />}
        suffix={<kbd aria-hidden>Ctrl K</kbd>}
        placeholder={t("list.search")}
        aria-label={t("list.search")}
        value={query}
        onChange={(event) => setQuery(event.target.value)}
      />
      <nav className="side-list" aria-label={t("list.title")}>
        {byDay(found, new Date()).map((day) => (
          <section key={day.start}>
            <h2>{nameOf(day)}</h2>
            <ul>
              {day.items.map((item) => (
                <ConversationItem
                  key={item.key}
                  item={item}
                  current={item.key === current}
                  onChoose={() => onChoose(item.key)}
                  onRename={(title) => conversations.update(item.key, { title })}
                  onRemove={() => setRemoving(item)}
                />
              ))}
            </ul>
          </section>
        ))}
        {found.length === 0 && <p className="quiet">{query ? t("list.none", { query }) : t("list.empty")}</p>}
      </nav>
      <SettingsMenu />
      <Dialog
        open={removing !== undefined}
        title={t("list.removeTitle")}
        onClose={() => setRemoving(undefined)}
      >
        <p>{t("list.removeText", { title: removing?.title })}</p>
        <div className="dialog-actions">
          <Button onClick={() => setRemoving(undefined)}>{t("cancel")}</Button>
          <Button danger type="primary" onClick={remove}>
            {t("list.remove")}
          </Button>
        </div>
      </Dialog>
    </div>
  );
}
