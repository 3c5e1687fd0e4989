import { useEffect, useRef } from "react";

/** Runs `onKey` for keys that nothing else has taken, for as long as the component is mounted. */
export function useShortcut(onKey: (event: KeyboardEvent) => void) {
  const latest = useRef(onKey);
  latest.current = onKey;
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (!event.defaultPrevented && !event.isComposing) latest.current(event);
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}

/** True where a key press is text. */
export const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");

/** True where a key press belongs to an open menu or dialog. */
export const isInPopup = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.closest("dialog, [role=menu]") !== null;
