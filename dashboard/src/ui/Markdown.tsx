import { CheckOutlined, CopyOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { isValidElement, memo, type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import ReactMarkdown, { type Components, type Options } from "react-markdown";
import remarkGfm from "remark-gfm";
import { Citation, citations } from "./citations";
import { useCopy } from "./clipboard";
import { hostOf, safeUrl } from "./links";
import { closeOpen, splitBlocks } from "./markdown-blocks";
import "./markdown.css";

type Plugins = NonNullable<Options["rehypePlugins"]>;
const REMARK = [remarkGfm];
const PLAIN: Plugins = [citations];

const textOf = (node: ReactNode): string => {
  if (typeof node === "string") return node;
  if (Array.isArray(node)) return node.map(textOf).join("");
  return isValidElement<{ children?: ReactNode }>(node) ? textOf(node.props.children) : "";
};

function Code({ children }: { children?: ReactNode }) {
  const { t } = useTranslation();
  const { copied, copy } = useCopy();
  const inner = isValidElement<{ className?: string }>(children) ? children : undefined;
  const language = /language-([\w+#.-]+)/.exec(inner?.props.className ?? "")?.[1] ?? t("code.plain");
  return (
    <figure className="code">
      <figcaption>
        <span>{language}</span>
        <Button
          size="small"
          type="text"
          icon={copied ? <CheckOutlined aria-hidden /> : <CopyOutlined aria-hidden />}
          onClick={() => copy(textOf(children))}
        >
          {t(copied ? "copied" : "copy")}
        </Button>
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>{children}</pre>
    </figure>
  );
}

function Link({ href, children }: { href?: string; children?: ReactNode }) {
  if (!href) return <>{children}</>;
  if (href.startsWith("#")) return <a href={href}>{children}</a>;
  const host = hostOf(href, textOf(children));
  return (
    <a href={href} title={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
      {host && <span className="host">{host}</span>}
    </a>
  );
}

/** Never fetched: a remote picture would tell its owner who reads what. */
function Image({ alt, src }: { alt?: string; src?: string }) {
  const { t } = useTranslation();
  const label = t("image", { alt: alt || "…" });
  return src ? <Link href={src}>{label}</Link> : <span>{label}</span>;
}

function Table({ children }: { children?: ReactNode }) {
  const { t } = useTranslation();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
    <section className="table" aria-label={t("table")} tabIndex={0}>
      <table>{children}</table>
    </section>
  );
}

const COMPONENTS: Components = {
  pre: ({ children }) => <Code>{children}</Code>,
  table: ({ children }) => <Table>{children}</Table>,
  a: ({ href, children }) => <Link href={href}>{children}</Link>,
  img: ({ alt, src }) => <Image alt={alt} src={typeof src === "string" ? src : undefined} />,
  // The box of a task list: nothing to tick, and so no form field.
  input: ({ checked }) => <span className="task">{checked ? "☑" : "☐"}</span>,
  sup: ({ node, children }) => {
    const n = node?.properties.dataCitation;
    return typeof n === "number" ? <Citation n={n} /> : <sup>{children}</sup>;
  },
};

/** Colours arrive later, as a chunk of their own, and only for a page that shows finished code. */
function useHighlighter(wanted: boolean): Plugins {
  const [plugins, setPlugins] = useState(PLAIN);
  useEffect(() => {
    if (!wanted) return;
    let gone = false;
    // Without the chunk (no connection) code stays readable, so there is nothing to tell.
    import("./highlight").then(
      (module) => gone || setPlugins([citations, ...module.plugins]),
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, [wanted]);
  return plugins;
}

const Block = memo(({ text, finished }: { text: string; finished: boolean }) => (
  <ReactMarkdown
    remarkPlugins={REMARK}
    rehypePlugins={useHighlighter(finished && /^\s*(```|~~~)/m.test(text))}
    components={COMPONENTS}
    urlTransform={safeUrl}
  >
    {text}
  </ReactMarkdown>
));

/**
 * Chat text as Markdown. HTML stays text, pictures stay links, math is not interpreted.
 * While streaming only the last block is parsed again: finished blocks are memoised.
 */
export const Markdown = memo(({ text, streaming = false }: { text: string; streaming?: boolean }) => {
  const blocks = splitBlocks(text);
  const last = blocks.length - 1;
  return (
    <div className={streaming ? "md growing" : "md"}>
      {blocks.map((block, index) => (
        <Block
          // biome-ignore lint/suspicious/noArrayIndexKey: blocks only grow at the end
          key={index}
          finished={!streaming || index < last}
          text={streaming && index === last ? closeOpen(block) : block}
        />
      ))}
    </div>
  );
});
