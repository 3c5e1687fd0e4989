const messages = () => [...document.querySelectorAll<HTMLElement>("[data-message]")];

const focus = (message: HTMLElement | undefined): boolean => {
  message?.focus({ preventScroll: true });
  message?.scrollIntoView({ block: "nearest" });
  return message !== undefined;
};

export const focusLastMessage = () => focus(messages().at(-1));

/** Moves the focus from message to message. True when the key meant something here. */
export function moveFocus(key: string): boolean {
  const all = messages();
  const at = all.indexOf(document.activeElement as HTMLElement);
  switch (key) {
    case "ArrowUp":
      return focus(at < 0 ? all.at(-1) : all[at - 1]);
    case "ArrowDown":
      return at >= 0 && focus(all[at + 1]);
    case "Home":
      return focus(all[0]);
    case "End":
      return focus(all.at(-1));
    default:
      return false;
  }
}
