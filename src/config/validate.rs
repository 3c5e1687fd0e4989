//! Rules over the typed configuration: ranges, references, kinds, and what must not be reachable from outside.
//!
//! A rule names the path of the value at fault (`providers.0.weight`); `load` turns paths into lines and columns.

use super::problem::{did_you_mean, listed};
use super::rules::{Finding, Rules};
use super::settings::days;
use super::{Access, Assistant, Config, Knowledge, Platform, Provider, Route, Secret, Server, Words};
use std::time::Duration;
use url::Url;

/// What this room must know about one kind of platform or provider. The families hand it in, so that nothing here
/// depends on them.
pub struct KindRule<T> {
    /// The word in the configuration.
    pub name: &'static str,
    /// Reads a section that is on for what a struct cannot say; `(key, message)` each.
    pub check: fn(&T) -> Vec<(&'static str, String)>,
    /// The value whose absence turns `enabled = "auto"` off; `None` for a kind without one.
    pub credential: fn(&T) -> Option<&Secret>,
}

/// The kinds of this program.
pub struct Kinds {
    pub platforms: Vec<KindRule<Platform>>,
    pub providers: Vec<KindRule<Provider>>,
}

/// Checks every rule. `auto` must have been resolved.
pub(super) fn validate(config: &Config, kinds: &Kinds) -> Vec<Finding> {
    let mut rules = Rules::default();
    rules.server(&config.server);
    rules.storage(config);
    rules.security(config);
    rules.pipeline(config);
    rules.telemetry(config);
    rules.ids("platforms", config.platforms.iter().map(|platform| platform.id.as_str()));
    rules.ids("providers", config.providers.iter().map(|provider| provider.id.as_str()));
    rules.ids("assistants", config.assistants.iter().map(|assistant| assistant.id.as_str()));
    rules.ids("knowledge", config.knowledge.iter().map(|knowledge| knowledge.id.as_str()));
    for (index, platform) in config.platforms.iter().enumerate() {
        rules.platform(&format!("platforms.{index}"), platform, &config.server, &kinds.platforms);
    }
    for (index, provider) in config.providers.iter().enumerate() {
        rules.provider(&format!("providers.{index}"), provider, &kinds.providers);
    }
    for (index, assistant) in config.assistants.iter().enumerate() {
        rules.assistant(&format!("assistants.{index}"), assistant, config);
    }
    for (index, route) in config.routes.iter().enumerate() {
        rules.route(&format!("routes.{index}"), route, config);
    }
    for (index, knowledge) in config.knowledge.iter().enumerate() {
        rules.knowledge(&format!("knowledge.{index}"), knowledge);
    }
    rules.broken
}

impl Rules {
    fn server(&mut self, server: &Server) {
        let hint = "write an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080";
        self.must(server.address().is_some(), "server.bind", "not an address to listen on", hint);
        self.maybe_within(server.workers, 1..=1024, "server.workers", "1 to 1024");
        self.within(server.max_body, 1 << 10..=1 << 30, "server.max_body", "1KiB to 1GiB");
        self.within(server.drain_timeout, ..=HOUR, "server.drain_timeout", "at most 1h");
        self.must(
            !server.chaos || server.is_loopback() || server.address().is_none(),
            "server.chaos",
            "faults cannot be injected while the server listens beyond loopback",
            "set server.chaos = false, or bind to 127.0.0.1",
        );
    }

    fn storage(&mut self, config: &Config) {
        let storage = &config.storage;
        let path = "storage.url";
        match storage.url.split_once("://") {
            Some(("sqlite", "")) => self.say(path, "names no file", Some("write sqlite://data/mindbot.db".to_owned())),
            Some(("sqlite", _)) => {}
            Some(("postgres" | "postgresql", _)) => {
                let hint = "write sqlite://data/mindbot.db".to_owned();
                self.say(path, "PostgreSQL is not supported by this version yet", Some(hint));
            }
            _ => self.say(path, "must begin with sqlite://", Some("write sqlite://data/mindbot.db".to_owned())),
        }
        self.within(storage.keep, days(1).., "storage.keep", "at least 1d");
        self.within(storage.keep_ids, days(7).., "storage.keep_ids", "at least 7d");
        self.within(storage.high_water, 1.., "storage.high_water", "at least 1");
    }

    fn security(&mut self, config: &Config) {
        for (index, origin) in config.security.cors_origins.iter().enumerate() {
            let parsed = Url::parse(origin).map(|url| url.origin());
            let exact = parsed.is_ok_and(|parsed| parsed.is_tuple() && parsed.ascii_serialization() == *origin);
            let hint = "write scheme and host without a path, such as https://intranet.example.com";
            self.must(exact, format!("security.cors_origins.{index}"), "not an origin", hint);
        }
        self.maybe_within(config.security.webhook_skew, SECOND.., "security.webhook_skew", "at least 1s");
    }

    fn pipeline(&mut self, config: &Config) {
        let pipeline = &config.pipeline;
        self.within(pipeline.turns, 1..=100_000, "pipeline.turns", "1 to 100000");
        let more_than_zero = pipeline.turn_timeout > Duration::ZERO && pipeline.turn_timeout <= days(1);
        self.must(more_than_zero, "pipeline.turn_timeout", "must be more than 0s, at most 1d", "the default is 120s");
        self.within(pipeline.aggregation, ..=Duration::from_secs(60), "pipeline.aggregation", "at most 1m");
        self.within(pipeline.max_input_chars, 1..=1_000_000, "pipeline.max_input_chars", "1 to 1000000");
        self.within(pipeline.burst_per_conversation, 1.., "pipeline.burst_per_conversation", "at least 1");
        let replies = &pipeline.replies;
        let words: [(&str, &Words); 8] = [
            ("busy", &replies.busy),
            ("failed", &replies.failed),
            ("stopped", &replies.stopped),
            ("too_long", &replies.too_long),
            ("unsupported", &replies.unsupported),
            ("slow", &replies.slow),
            ("too_many", &replies.too_many),
            ("fresh", &replies.fresh),
        ];
        for (name, Words { zh, en }) in words {
            for (language, text) in [("zh", zh), ("en", en)] {
                let path = format!("pipeline.replies.{name}.{language}");
                self.must(!text.trim().is_empty(), path, "must not be empty", "give both languages, zh and en");
            }
        }
    }

    fn telemetry(&mut self, config: &Config) {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        let level = &config.telemetry.log_level;
        let path = "telemetry.log_level";
        let is_filter = level.contains(['=', ',']);
        if is_filter && tracing_subscriber::EnvFilter::try_new(level).is_err() {
            self.say(path, "not a log filter", Some("write a filter such as info,mindbot=debug".to_owned()));
        }
        if !is_filter && !LEVELS.contains(&level.to_lowercase().as_str()) {
            let hint = did_you_mean(level, LEVELS).unwrap_or_else(|| format!("the levels are {}", listed(LEVELS)));
            self.say(path, "unknown log level", Some(hint));
        }
    }

    /// Finds the rule for a kind, or says that there is none.
    fn kind<'k, T>(&mut self, at: &str, kind: &str, rules: &'k [KindRule<T>]) -> Option<&'k KindRule<T>> {
        let found = rules.iter().find(|rule| rule.name == kind);
        if found.is_none() {
            self.word(&format!("{at}.kind"), kind, "kind", rules.iter().map(|rule| rule.name));
        }
        found
    }

    fn platform(&mut self, at: &str, platform: &Platform, server: &Server, kinds: &[KindRule<Platform>]) {
        let rule = self.kind(at, &platform.kind, kinds);
        self.maybe_within(platform.concurrency, 1..=10_000, format!("{at}.concurrency"), "1 to 10000");
        if !platform.enabled.is_on() {
            return;
        }
        for (key, message) in rule.map(|rule| (rule.check)(platform)).unwrap_or_default() {
            self.say(format!("{at}.{key}"), message, None);
        }
        let open = platform.kind == "web" && platform.access == Access::Loopback && !server.is_loopback();
        self.must(
            !open || server.address().is_none(),
            format!("{at}.access"),
            "access = \"loopback\" does not go with a server that listens beyond loopback",
            "set access = \"token\" or \"anyone\", or bind to 127.0.0.1",
        );
    }

    fn provider(&mut self, at: &str, provider: &Provider, kinds: &[KindRule<Provider>]) {
        let rule = self.kind(at, &provider.kind, kinds);
        for (index, model) in provider.models.iter().enumerate() {
            let hint = "write the model's name, or remove the entry";
            self.must(!model.trim().is_empty(), format!("{at}.models.{index}"), "must not be empty", hint);
        }
        self.maybe_within(provider.context_tokens, 256.., format!("{at}.context_tokens"), "at least 256");
        self.maybe_within(provider.answer_tokens, 1.., format!("{at}.answer_tokens"), "at least 1");
        let (context, answer) = (provider.context_tokens.unwrap_or(usize::MAX), provider.answer_tokens.unwrap_or(0));
        let hint = "the answer is part of what the model reads and writes together";
        self.must(answer < context, format!("{at}.answer_tokens"), "must be fewer than context_tokens", hint);
        let soon = Duration::from_millis(1);
        self.maybe_within(provider.connect_timeout, soon.., format!("{at}.connect_timeout"), "more than 0s");
        self.maybe_within(provider.idle_timeout, soon.., format!("{at}.idle_timeout"), "more than 0s");
        self.maybe_within(provider.concurrency, 1..=10_000, format!("{at}.concurrency"), "1 to 10000");
        self.maybe_within(provider.weight, 1..=1000, format!("{at}.weight"), "1 to 1000");
        if provider.enabled.is_on() {
            for (key, message) in rule.map(|rule| (rule.check)(provider)).unwrap_or_default() {
                self.say(format!("{at}.{key}"), message, None);
            }
        }
    }

    fn assistant(&mut self, at: &str, assistant: &Assistant, config: &Config) {
        let providers = || config.providers.iter().map(|provider| provider.id.as_str());
        let knowledge = || config.knowledge.iter().map(|knowledge| knowledge.id.as_str());
        let hint = "list provider ids in the order in which they are tried";
        self.must(!assistant.providers.is_empty(), format!("{at}.providers"), "must name at least one provider", hint);
        for (index, id) in assistant.providers.iter().enumerate() {
            self.refers(&format!("{at}.providers.{index}"), id, "provider", providers());
        }
        for (index, id) in assistant.knowledge.iter().enumerate() {
            self.refers(&format!("{at}.knowledge.{index}"), id, "knowledge", knowledge());
        }
        self.within(assistant.memory, ..=1000, format!("{at}.memory"), "0 to 1000");
        self.maybe_within(assistant.temperature, 0.0..=2.0, format!("{at}.temperature"), "0 to 2");
    }

    fn route(&mut self, at: &str, route: &Route, config: &Config) {
        let assistants = config.assistants.iter().map(|assistant| assistant.id.as_str());
        let platforms = config.platforms.iter().map(|platform| platform.id.as_str());
        self.refers(&format!("{at}.assistant"), &route.assistant, "assistant", assistants);
        if let Some(id) = &route.matches.platform {
            self.refers(&format!("{at}.match.platform"), id, "platform", platforms);
        }
        for (key, word) in [("user", &route.matches.user), ("keyword", &route.matches.keyword)] {
            let empty = word.as_ref().is_some_and(|word| word.trim().is_empty());
            self.must(
                !empty,
                format!("{at}.match.{key}"),
                "must not be empty",
                "leave the key out to match everything",
            );
        }
    }

    fn knowledge(&mut self, at: &str, knowledge: &Knowledge) {
        if knowledge.store != "embedded" {
            self.word(&format!("{at}.store"), &knowledge.store, "store", ["embedded"].into_iter());
        }
        for (index, path) in knowledge.paths.iter().enumerate() {
            let hint = "name a file or folder, or remove the entry";
            self.must(!path.trim().is_empty(), format!("{at}.paths.{index}"), "must not be empty", hint);
        }
        self.within(knowledge.top_k, 1..=20, format!("{at}.top_k"), "1 to 20");
        self.within(knowledge.chunk_chars, 100..=20_000, format!("{at}.chunk_chars"), "100 to 20000");
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::super::fixtures::{lines, load_text};

    #[test]
    fn every_rule_names_the_place_and_the_way_out() {
        let sqlite = "write sqlite://data/mindbot.db";
        let origin = "write scheme and host without a path, such as https://intranet.example.com";
        let table = [
            (
                "bind",
                "[server]\nbind = 'localhost'",
                "2:8 server.bind: not an address to listen on | write an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
            ),
            ("workers", "[server]\nworkers = 0", "2:11 server.workers: must be 1 to 1024".to_owned()),
            ("max_body", "[server]\nmax_body = 5", "2:12 server.max_body: must be 1KiB to 1GiB".to_owned()),
            ("drain", "[server]\ndrain_timeout = '2h'", "2:17 server.drain_timeout: must be at most 1h".to_owned()),
            (
                "chaos beyond loopback",
                "[server]\nbind = '0.0.0.0:80'\nchaos = true",
                "3:9 server.chaos: faults cannot be injected while the server listens beyond loopback \
                 | set server.chaos = false, or bind to 127.0.0.1".to_owned(),
            ),
            (
                "postgres",
                "[storage]\nurl = 'postgres://h/d'",
                format!("2:7 storage.url: PostgreSQL is not supported by this version yet | {sqlite}"),
            ),
            ("no scheme", "[storage]\nurl = 'a.db'", format!("2:7 storage.url: must begin with sqlite:// | {sqlite}")),
            ("no file", "[storage]\nurl = 'sqlite://'", format!("2:7 storage.url: names no file | {sqlite}")),
            ("keep", "[storage]\nkeep = '23h'", "2:8 storage.keep: must be at least 1d".to_owned()),
            ("keep_ids", "[storage]\nkeep_ids = '6d'", "2:12 storage.keep_ids: must be at least 7d".to_owned()),
            ("high_water", "[storage]\nhigh_water = 0", "2:14 storage.high_water: must be at least 1".to_owned()),
            (
                "origin with a path",
                "[security]\ncors_origins = ['https://a.example', 'https://a.example/x']",
                format!("2:38 security.cors_origins[1]: not an origin | {origin}"),
            ),
            ("any origin", "[security]\ncors_origins = ['*']", format!("2:17 security.cors_origins[0]: not an origin | {origin}")),
            ("skew", "[security]\nwebhook_skew = '0s'", "2:16 security.webhook_skew: must be at least 1s".to_owned()),
            ("turns", "[pipeline]\nturns = 100001", "2:9 pipeline.turns: must be 1 to 100000".to_owned()),
            (
                "turn_timeout",
                "[pipeline]\nturn_timeout = '0s'",
                "2:16 pipeline.turn_timeout: must be more than 0s, at most 1d | the default is 120s".to_owned(),
            ),
            ("aggregation", "[pipeline]\naggregation = '2m'", "2:15 pipeline.aggregation: must be at most 1m".to_owned()),
            (
                "input",
                "[pipeline]\nmax_input_chars = 0",
                "2:19 pipeline.max_input_chars: must be 1 to 1000000".to_owned(),
            ),
            (
                "burst",
                "[pipeline]\nburst_per_conversation = 0",
                "2:26 pipeline.burst_per_conversation: must be at least 1".to_owned(),
            ),
            (
                "one language only",
                "[pipeline.replies]\nbusy = { zh = '忙' }",
                "2:8 pipeline.replies.busy.en: must not be empty | give both languages, zh and en".to_owned(),
            ),
            (
                "level",
                "[telemetry]\nlog_level = 'inof'",
                "2:13 telemetry.log_level: unknown log level | did you mean `info`?".to_owned(),
            ),
            (
                "filter",
                "[telemetry]\nlog_level = 'mindbot=loud'",
                "2:13 telemetry.log_level: not a log filter | write a filter such as info,mindbot=debug".to_owned(),
            ),
            (
                "no id",
                "[[knowledge]]\ntop_k = 3",
                "1:1 knowledge[0].id: must be given | add id = \"…\", a name of your choice".to_owned(),
            ),
            (
                "bad id",
                "[[knowledge]]\nid = 'a b'",
                "2:6 knowledge.a b.id: not an id | use 1 to 64 letters, digits, `-` and `_`".to_owned(),
            ),
            (
                "the same id twice",
                "[[knowledge]]\nid = 'a'\n[[knowledge]]\nid = 'a'",
                "4:6 knowledge.a.id: another entry of `knowledge` has the same id".to_owned(),
            ),
            ("top_k", "[[knowledge]]\nid = 'a'\ntop_k = 21", "3:9 knowledge.a.top_k: must be 1 to 20".to_owned()),
            (
                "chunk_chars",
                "[[knowledge]]\nid = 'a'\nchunk_chars = 1",
                "3:15 knowledge.a.chunk_chars: must be 100 to 20000".to_owned(),
            ),
            (
                "store of a later version",
                "[[knowledge]]\nid = 'a'\nstore = 'chroma'",
                "3:9 knowledge.a.store: this store is not supported by this version yet | one of `embedded`".to_owned(),
            ),
            (
                "unknown kind",
                "[[platforms]]\nid = 'a'\nkind = 'wecm'",
                "3:8 platforms.a.kind: unknown kind | did you mean `wecom`?".to_owned(),
            ),
            (
                "kind of a later version",
                "[[platforms]]\nid = 'a'\nkind = 'wecom-kf'",
                "3:8 platforms.a.kind: this kind is not supported by this version yet | one of `web` and `wecom`".to_owned(),
            ),
            (
                "no kind",
                "[[providers]]\nid = 'a'",
                "1:1 providers.a.kind: must be given | one of `openai` and `local`".to_owned(),
            ),
            (
                "what the kind asks for",
                "[[platforms]]\nid = 'a'\nkind = 'wecom'\ntoken = 't'",
                "1:1 platforms.a.secret: must not be empty".to_owned(),
            ),
            (
                "web beyond loopback",
                "[server]\nbind = '[::]:80'\n[[platforms]]\nid = 'a'\nkind = 'web'",
                "3:1 platforms.a.access: access = \"loopback\" does not go with a server that listens beyond loopback \
                 | set access = \"token\" or \"anyone\", or bind to 127.0.0.1".to_owned(),
            ),
            (
                "concurrency",
                "[[platforms]]\nid = 'a'\nkind = 'web'\nconcurrency = 0",
                "4:15 platforms.a.concurrency: must be 1 to 10000".to_owned(),
            ),
            (
                "answer as large as the context",
                "[[providers]]\nid = 'a'\nkind = 'local'\ncontext_tokens = 300\nanswer_tokens = 300",
                "5:17 providers.a.answer_tokens: must be fewer than context_tokens \
                 | the answer is part of what the model reads and writes together".to_owned(),
            ),
            (
                "weight",
                "[[providers]]\nid = 'a'\nkind = 'local'\nweight = 0",
                "4:10 providers.a.weight: must be 1 to 1000".to_owned(),
            ),
            (
                "idle_timeout",
                "[[providers]]\nid = 'a'\nkind = 'local'\nidle_timeout = '0s'",
                "4:16 providers.a.idle_timeout: must be more than 0s".to_owned(),
            ),
            (
                "empty model",
                "[[providers]]\nid = 'a'\nkind = 'local'\nmodels = ['']",
                "4:11 providers.a.models[0]: must not be empty | write the model's name, or remove the entry".to_owned(),
            ),
            (
                "no provider",
                "[[assistants]]\nid = 'a'",
                "1:1 assistants.a.providers: must name at least one provider \
                 | list provider ids in the order in which they are tried".to_owned(),
            ),
            (
                "unknown provider",
                "[[assistants]]\nid = 'a'\nproviders = ['gtp']\n[[providers]]\nid = 'gpt'\nkind = 'local'",
                "3:14 assistants.a.providers[0]: there is no such provider | did you mean `gpt`?".to_owned(),
            ),
            (
                "unknown platform",
                "[[routes]]\nassistant = 'a'\nmatch = { platform = 'x' }\n\
                 [[assistants]]\nid = 'a'\nproviders = ['p']\n[[providers]]\nid = 'p'\nkind = 'local'",
                "3:22 routes[0].match.platform: there is no such platform | there are none".to_owned(),
            ),
            (
                "temperature",
                "[[assistants]]\nid = 'a'\nproviders = ['p']\ntemperature = nan\n[[providers]]\nid = 'p'\nkind = 'local'",
                "4:15 assistants.a.temperature: must be 0 to 2".to_owned(),
            ),
        ];
        for (case, text, expected) in table {
            assert_eq!(lines(load_text(text)), [expected], "{case}");
        }
    }

    #[test]
    fn what_is_allowed() {
        let table = [
            ("IPv6 loopback with chaos", "[server]\nbind = '[::1]:8080'\nchaos = true"),
            (
                "web beyond loopback, off",
                "[server]\nbind = '0.0.0.0:80'\n[[platforms]]\nid = 'w'\nkind = 'web'\nenabled = false",
            ),
            (
                "web beyond loopback for anyone",
                "[server]\nbind = '0.0.0.0:80'\n[[platforms]]\nid = 'w'\nkind = 'web'\naccess = 'anyone'",
            ),
            ("WeCom that is off", "[[platforms]]\nid = 'w'\nkind = 'wecom'\nenabled = false"),
            ("WeCom that waits for its secret", "[[platforms]]\nid = 'w'\nkind = 'wecom'\nenabled = 'auto'"),
            ("a log filter", "[telemetry]\nlog_level = 'warn,mindbot=debug'"),
            ("nothing", ""),
        ];
        for (case, text) in table {
            assert_eq!(lines(load_text(text)), Vec::<String>::new(), "{case}");
        }
    }
}
