import { EditOutlined, MenuOutlined } from "@ant-design/icons";
import { App, Button } from "antd";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { Announcer } from "./Announcer";
import { Composer, focusComposer } from "./Composer";
import { conversations, outbox, say, stop } from "./chat";
import { Messages } from "./Messages";
import { SourceDialog } from "./SourceDialog";
import { isAnswering, RETRY, type Source, turnsOf } from "./thread";
import { isInPopup, isTyping, useShortcut } from "./useShortcut";
import { useThread } from "./useThread";
import { Welcome } from "./Welcome";

interface Props {
  current: string | undefined;
  token: number;
  onChoose: (chat: string | undefined) => void;
  onLocked: () => void;
  /** Opens the list of conversations where it is not in view. */
  onList?: () => void;
}

/** Below this many failed attempts a lost connection is not worth a banner. */
const FAILURES_SHOWN = 2;

export function Conversation({ current, token, onChoose, onLocked, onList }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const chat = useSyncExternalStore(conversations.subscribe, conversations.get).find(
    ({ key }) => key === current,
  );
  const box = useSyncExternalStore(outbox.subscribe, outbox.get);
  const { thread, connection } = useThread(chat?.id, token);
  const [source, setSource] = useState<Source>();

  // Not of the whole thread: a turn stays the same object while another answer grows.
  const { messages } = thread;
  const turns = useMemo(() => {
    const mine = ({ chat: of }: { chat: string }) => of === current;
    return turnsOf(messages, box.sent.filter(mine), box.unsent.filter(mine));
  }, [messages, box, current]);
  const answering = isAnswering(turns, thread.live);
  const { failures, problem } = connection;
  const refused = problem && problem.status !== 401 ? problem.detail : undefined;
  const offline = box.stalled === "offline" || (chat?.id !== undefined && failures >= FAILURES_SHOWN);

  useEffect(() => {
    if (box.stalled === "token" || problem?.status === 401) onLocked();
  }, [box, problem, onLocked]);

  useEffect(() => {
    document.title = chat ? `${chat.title} · MindBot` : t("title");
  }, [chat, t]);

  const send = (text: string) => onChoose(say(text, current));
  const halt = () => {
    if (chat?.id) stop(chat.id).catch(() => message.error(t("state.stopFailed")));
  };
  useShortcut((event) => {
    if (isInPopup(event.target)) return;
    if (event.key === "Escape" && answering) halt();
    if (event.key === "/" && !isTyping(event.target)) {
      event.preventDefault();
      focusComposer();
    }
  });

  return (
    <main className="chat-main">
      <header className="chat-head">
        {onList && (
          <Button type="text" icon={<MenuOutlined />} aria-label={t("list.open")} onClick={onList} />
        )}
        <h1 className={chat ? undefined : "sr-only"}>{chat?.title ?? t("title")}</h1>
        {onList && chat && (
          <Button
            type="text"
            icon={<EditOutlined aria-hidden />}
            aria-label={t("list.fresh")}
            onClick={() => onChoose(undefined)}
          />
        )}
      </header>
      {offline && (
        <p className="banner" role="status">
          {t("state.offline")}
        </p>
      )}
      {!offline && box.stalled === "busy" && (
        <p className="banner" role="status">
          {t("state.busy")}
        </p>
      )}
      {refused && (
        <p className="banner error" role="alert">
          {t("state.refused", { reason: refused })}
        </p>
      )}
      {chat ? (
        <Messages
          key={chat.key}
          turns={turns}
          live={thread.live}
          answering={answering}
          restoring={failures > 0}
          loading={turns.length === 0 && !refused}
          onRetry={() => send(RETRY)}
          onSource={setSource}
        />
      ) : (
        <Welcome onAsk={send} />
      )}
      <Composer answering={answering} onSend={send} onStop={halt} />
      <Announcer turns={turns} answering={answering} />
      <SourceDialog source={source} onClose={() => setSource(undefined)} />
    </main>
  );
}
