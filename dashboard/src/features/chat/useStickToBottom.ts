import { useCallback, useEffect, useRef, useState } from "react";

/** How far from the end, in pixels, still counts as reading the newest. */
const NEAR = 64;

/** Keeps a growing box at its end while the reader is there, and leaves a reader who scrolled up alone. */
export function useStickToBottom() {
  const box = useRef<HTMLElement>(null);
  const stuck = useRef(true);
  const [away, setAway] = useState(false);

  const toEnd = useCallback(() => {
    stuck.current = true;
    box.current?.scrollTo({ top: box.current.scrollHeight });
  }, []);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const onScroll = () => {
      stuck.current = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
      setAway(!stuck.current);
    };
    const grown = new ResizeObserver(() => stuck.current && toEnd());
    grown.observe(element);
    if (element.firstElementChild) grown.observe(element.firstElementChild);
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      grown.disconnect();
      element.removeEventListener("scroll", onScroll);
    };
  }, [toEnd]);

  return { box, away, toEnd };
}
