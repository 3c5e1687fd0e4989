import { useState } from "react";
import { flushSync } from "react-dom";
import { useTranslation } from "react-i18next";
import { Dialog } from "~/ui/Dialog";
import { useMedia } from "~/ui/useMedia";
import { Conversation } from "./Conversation";
import { outbox } from "./chat";
import { Sidebar } from "./Sidebar";
import { TokenDialog } from "./TokenDialog";
import { useCurrent } from "./useCurrent";
import { useShortcut } from "./useShortcut";
import "./chat.css";

export function ChatPage() {
  const { t } = useTranslation();
  const wide = useMedia("(min-width: 820px)");
  const [current, setCurrent] = useCurrent();
  const [drawer, setDrawer] = useState(false);
  /** Counts the tokens that were given, so that what was refused is asked again. */
  const [token, setToken] = useState(0);
  const [locked, setLocked] = useState(false);

  useShortcut((event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    // The field may be in the drawer, which has to be open before it can take the focus.
    flushSync(() => setDrawer(!wide));
    document.getElementById("chat-search")?.focus();
  });

  const choose = (chat: string | undefined) => {
    setCurrent(chat);
    setDrawer(false);
  };
  const sidebar = <Sidebar current={current} onChoose={choose} />;

  return (
    <div className="chat">
      {wide ? (
        <aside className="chat-side" aria-label={t("list.title")}>
          {sidebar}
        </aside>
      ) : (
        <Dialog open={drawer} title={t("list.title")} from="start" onClose={() => setDrawer(false)}>
          {sidebar}
        </Dialog>
      )}
      <Conversation
        current={current}
        token={token}
        onChoose={choose}
        onLocked={() => setLocked(true)}
        onList={wide ? undefined : () => setDrawer(true)}
      />
      <TokenDialog
        open={locked}
        again={token > 0}
        onClose={() => setLocked(false)}
        onToken={() => {
          setLocked(false);
          setToken(token + 1);
          outbox.wake();
        }}
      />
    </div>
  );
}
