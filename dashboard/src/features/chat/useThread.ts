import { useEffect, useReducer, useRef, useState } from "react";
import { type EventSourceMessage, EventStream, type Link } from "~/live/eventStream";
import type { Problem } from "~/live/problem";
import { api, outbox } from "./chat";
import { apply, EMPTY_THREAD, isAnswer, type Thread, type ThreadEvent } from "./thread";

const KINDS = new Set(["message", "delta", "notice"]);

const parse = ({ event, data }: EventSourceMessage): ThreadEvent[] =>
  KINDS.has(event ?? "") ? [{ type: event, data: JSON.parse(data) } as ThreadEvent] : [];

const reduce = (thread: Thread, events: ThreadEvent[] | "reset"): Thread =>
  events === "reset" ? EMPTY_THREAD : events.reduce(apply, thread);

/** Messages of which the gateway has sent an echo need not be kept here any longer. */
function settle(events: ThreadEvent[]) {
  const echoed = new Set(
    events.flatMap(({ type, data }) => (type === "message" && !isAnswer(data) ? [data.client_id] : [])),
  );
  if (echoed.size > 0) outbox.drop((one) => echoed.has(one.clientId));
}

export interface Connection {
  link: Link;
  /** Attempts that failed since the last one that did not. */
  failures: number;
  problem?: Problem;
}

/** Follows one conversation for as long as it is shown. `token` changes when the visitor gives another one. */
export function useThread(conversation: string | undefined, token: number) {
  const [thread, dispatch] = useReducer(reduce, EMPTY_THREAD);
  const [connection, setConnection] = useState<Connection>({ link: "connecting", failures: 0 });
  const shown = useRef<string>(undefined);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new token asks for a new connection
  useEffect(() => {
    if (shown.current !== conversation) dispatch("reset");
    shown.current = conversation;
    setConnection({ link: "connecting", failures: 0 });
    if (!conversation) return;
    const stream = new EventStream({
      request: (lastEventId, signal) => api.events(conversation, lastEventId, signal),
      onEvents: (messages) => {
        const events = messages.flatMap(parse);
        settle(events);
        dispatch(events);
        // A gap heals by reading on from the last message with an id.
        if (events.some(({ type, data }) => type === "notice" && data.kind === "missed")) stream.restart();
      },
      onLink: (link, problem) =>
        setConnection(({ failures }) => ({
          link,
          problem,
          failures: link === "open" ? 0 : link === "waiting" ? failures + 1 : failures,
        })),
    });
    // The browser's word on being offline is only a hint (the gateway may be on this machine): try and see.
    window.addEventListener("offline", stream.restart);
    window.addEventListener("online", stream.wake);
    return () => {
      window.removeEventListener("offline", stream.restart);
      window.removeEventListener("online", stream.wake);
      stream.close();
    };
  }, [conversation, token]);

  return { thread, connection };
}
