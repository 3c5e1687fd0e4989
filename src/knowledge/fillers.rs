//! Words that say nothing about a subject, in English and Chinese. Pure data.

use std::collections::HashSet;
use std::sync::OnceLock;

/// Whether an English word, lower-case, is a filler.
pub fn is_word(word: &str) -> bool {
    static WORDS_SET: OnceLock<HashSet<&str>> = OnceLock::new();
    WORDS_SET.get_or_init(|| WORDS.split_whitespace().collect()).contains(word)
}

/// Whether a Chinese phrase is a filler.
pub fn is_phrase(phrase: &str) -> bool {
    static PHRASES_SET: OnceLock<HashSet<&str>> = OnceLock::new();
    PHRASES_SET.get_or_init(|| PHRASES.split_whitespace().collect()).contains(phrase)
}

/// Whether a character is part of real words (会话, 有效) and a filler alone; it counts only where a pair is known.
pub fn is_function(character: char) -> bool {
    FUNCTION_CHARACTERS.contains(character)
}

const WORDS: &str = "\
    a about above after again all also am an and another any anyone anything are as at be because been before being \
    below but by can could d did do does doing don done during each either else ever every for from further get gets \
    getting give go goes going got had has have having he her here him his how i if in into is isn it its itself \
    just know let ll m made make makes many may me might more most much must my need no nor not now of off on once \
    one only or other our out over own please re s same shall she should so some somebody somehow someone something \
    such t take tell than that the their them then there these they thing things this those through to too under \
    until up us use used using ve very want was way we were what when where whether which while who whom whose why \
    will with within without would yet you your";

const PHRASES: &str = "\
    以防万一 万一 到底 究竟 其实 比如 例如 另外 顺便 麻烦 帮忙 帮我 谢谢 尽快 一直 总是 经常 有时 突然 好像 似乎 大概 一般 通常 \
        为什么 怎么样 怎么办 是不是 能不能 可不可以 有没有 会不会 要不要 多长时间 想知道 什么时候 什么样 请问 怎么 怎样 \
    如何 什么 为何 为啥 干嘛 多少 多久 哪些 哪个 哪里 哪儿 在哪 几个 可以 能否 是否 需要 应该 必须 想要 我想 知道 \
    告诉 一下 一个 一些 这个 那个 这些 那些 时候 以后 之后 之前 现在 如果 的话 但是 还是 或者 以及 所有 自己 我们 \
    你们 他们 它们 的 了 吗 呢 吧 啊 嘛 么 我 你 您 他 她 它 是 把 被 和 与 或 及 这 那 就 也 都 很 请 谁 啥 咋 几";

const FUNCTION_CHARACTERS: &str = "会能要有不没在到给让用对从上下里个多大后前来去得着过还再又只才想该为将可该办做时些样所以先叫跟起出进成好完点各每某";
