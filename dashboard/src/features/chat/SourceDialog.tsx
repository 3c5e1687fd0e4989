import { useTranslation } from "react-i18next";
import { Dialog } from "~/ui/Dialog";
import { Markdown } from "~/ui/Markdown";
import type { Source } from "./thread";

/** The passage behind a citation. */
export function SourceDialog({ source, onClose }: { source?: Source; onClose: () => void }) {
  const { t } = useTranslation();
  return (
    <Dialog
      open={source !== undefined}
      title={source ? t("source.title", { n: source.n }) : ""}
      from="end"
      onClose={onClose}
    >
      {source && (
        <article className="source">
          <h3>{source.title}</h3>
          {source.heading && source.heading !== source.title && <p className="quiet">{source.heading}</p>}
          <Markdown text={source.text} />
          <p className="source-document">{source.document}</p>
        </article>
      )}
    </Dialog>
  );
}
