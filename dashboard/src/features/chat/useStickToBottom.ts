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
    let before = element.scrollTop;
    const onScroll = () => {
      const near = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
      // Text may have grown since the box was last sent to its end: only a move upwards is the reader's.
      if (near) stuck.current = true;
      else if (element.scrollTop < before) stuck.current = false;
      before = element.scrollTop;
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
