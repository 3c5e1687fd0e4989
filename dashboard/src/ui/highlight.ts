import type {} from "highlight.js"; // declares the language modules
import bash from "highlight.js/lib/languages/bash";
import ini from "highlight.js/lib/languages/ini";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import type { Options } from "react-markdown";
import rehypeHighlight from "rehype-highlight";

const languages = { bash, ini, javascript, json, python, rust, sql, xml, yaml };
const aliases = {
  ini: ["toml"],
  bash: ["sh", "shell", "console"],
  javascript: ["js", "ts", "typescript"],
  xml: ["html"],
};

export const plugins: NonNullable<Options["rehypePlugins"]> = [
  [rehypeHighlight, { languages, aliases, detect: false }],
];
