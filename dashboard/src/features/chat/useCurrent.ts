import { useCallback, useEffect, useState } from "react";
import { conversations } from "./chat";

/** The chosen conversation, from `?c=`; one that this browser does not know is a new one. */
const read = () => conversations.find(new URLSearchParams(location.search).get("c") ?? undefined)?.key;

/** The conversation that is shown lives in the page's address: reload and the back button work. */
export function useCurrent() {
  const [current, setCurrent] = useState(read);
  useEffect(() => {
    const follow = () => setCurrent(read());
    window.addEventListener("popstate", follow);
    return () => window.removeEventListener("popstate", follow);
  }, []);
  const choose = useCallback((chat: string | undefined) => {
    if (chat !== read()) history.pushState(null, "", chat ? `?c=${chat}` : location.pathname);
    setCurrent(chat);
  }, []);
  return [current, choose] as const;
}
