import { CloseOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { type ReactNode, useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import "./dialog.css";

interface Props {
  open: boolean;
  title: string;
  /** A card in the middle, or a sheet from one side. */
  from?: "centre" | "start" | "end";
  onClose: () => void;
  children: ReactNode;
}

/**
 * The browser's own modal dialog: focus, Esc and the inert page behind come with it. Ant Design's Modal and Drawer
 * lock scrolling through a style element without a nonce, which the policy refuses.
 */
export function Dialog({ open, title, from = "centre", onClose, children }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    if (open) box.current?.showModal();
    else box.current?.close();
  }, [open]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc closes it
    <dialog
      ref={box}
      className={`dialog from-${from}`}
      aria-label={title}
      // React lets the event of a dialog in here rise; only our own counts.
      onClose={(event) => event.target === box.current && onClose()}
      onClick={(event) => event.target === box.current && onClose()}
    >
      {open && (
        <div className="dialog-body">
          <header>
            <h2>{title}</h2>
            <Button type="text" icon={<CloseOutlined />} aria-label={t("close")} onClick={onClose} />
          </header>
          {children}
        </div>
      )}
    </dialog>
  );
}
