import { MoreOutlined } from "@ant-design/icons";
import { Button, Dropdown, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Conversation } from "./conversations";

interface Props {
  item: Conversation;
  current: boolean;
  onChoose: () => void;
  onRename: (title: string) => void;
  onRemove: () => void;
}

export function ConversationItem({ item, current, onChoose, onRename, onRemove }: Props) {
  const { t } = useTranslation();
  const [draft, setDraft] = useState<string>();

  if (draft !== undefined) {
    const commit = () => {
      if (draft.trim()) onRename(draft.trim());
      setDraft(undefined);
    };
    return (
      <li>
        <Input
          autoFocus
          aria-label={t("list.rename")}
          value={draft}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={commit}
          onPressEnter={(event) => event.nativeEvent.isComposing || commit()}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.preventDefault();
            setDraft(undefined);
          }}
        />
      </li>
    );
  }
  return (
    <li className={current ? "side-item current" : "side-item"}>
      <button
        type="button"
        className="side-open"
        aria-current={current}
        title={item.title}
        onClick={onChoose}
      >
        {item.title}
      </button>
      <Dropdown
        autoFocus
        trigger={["click"]}
        placement="bottomRight"
        menu={{
          items: [
            { key: "rename", label: t("list.rename"), onClick: () => setDraft(item.title) },
            { key: "remove", label: t("list.remove"), danger: true, onClick: onRemove },
          ],
        }}
      >
        <Button
          type="text"
          size="small"
          icon={<MoreOutlined />}
          aria-label={t("list.more", { title: item.title })}
        />
      </Dropdown>
    </li>
  );
}
