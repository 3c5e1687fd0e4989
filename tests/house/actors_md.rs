//! `actors.md` tells the truth: its rows are made from the cards in the code and from a tree that runs.

use mindbot::boot::{Plan, boot};
use mindbot::components::kinds;
use mindbot::config::{self, Source};
use mindbot::domain::InstanceId;
use mindbot::supervise::{Card, Vitals};
use mindbot::telemetry::logs;
use mindbot::{cards, egress};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

const BEGIN: &str = "<!-- made from the cards in the code; MINDBOT_UPDATE=1 scripts/test rewrites it -->\n";
const END: &str = "<!-- end of what is made -->\n";
/// Made on demand by the dispatcher, and on nobody's list.
const ON_DEMAND: &str = "Conversation";

/// One instance of every kind.
const CONFIG: &str = "
[telemetry]
log_level = 'off'
[server]
bind = '127.0.0.1:0'
[storage]
url = 'sqlite://FOLDER/mindbot.db'
data_dir = 'FOLDER'
[[platforms]]
id = 'web'
kind = 'web'
[[platforms]]
id = 'wecom'
kind = 'wecom'
corp_id = 'ww1'
agent_id = 1
secret = 'secret'
token = 'token'
encoding_aes_key = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG'
[[providers]]
id = 'model'
kind = 'openai'
api_key = 'sk-1'
models = ['stand-in']
[[providers]]
id = 'guide'
kind = 'local'
[[knowledge]]
id = 'docs'
[[assistants]]
id = 'helper'
providers = ['model', 'guide']
knowledge = ['docs']
";

type Board = BTreeMap<InstanceId, Arc<Vitals>>;

/// Everybody in a gateway that runs in this process.
async fn board() -> Arc<Board> {
    let folder = tempfile::tempdir().unwrap();
    let text = CONFIG.replace("FOLDER", &folder.path().display().to_string());
    let source = Source { path: folder.path().join("config.toml"), text };
    let loaded = config::load(&source, &BTreeMap::new(), &|_: &Path| Ok(String::new()), &kinds()).unwrap();
    let log_level = logs::install(&loaded.config.telemetry).unwrap();
    egress::install_tls();
    let plan = Plan { source, loaded, log_level, fatal: Arc::new(|reason: &str| panic!("{reason}")) };
    let running = boot(plan).await.unwrap();
    let board = running.state.tree.board.snapshot();
    drop(running.leash);
    running.root.await.unwrap();
    running.server.stop(false).await;
    board
}

fn row(card: &Card, vitals: Option<&Vitals>) -> String {
    let Card { actor, file, instances, asks, when_full, lost, stuck, .. } = card;
    let taken = card.takes.iter().map(|taken| taken());
    let taken = taken.map(|taken| format!("`{} → {}`", taken.message, taken.reply)).collect::<Vec<_>>().join("<br>");
    let (supervisor, permits) = match vitals {
        Some(vitals) => {
            let ports = vitals.ports.iter().map(|port| format!("`{}` {}", port.name, port.capacity));
            let parent = vitals.parent.as_ref().unwrap();
            let ports = ports.collect::<Vec<_>>().join(", ");
            (format!("`{parent}` · {}", vitals.policy.describe()), if ports.is_empty() { ports } else { ports + ". " })
        }
        None => ("`core/dispatcher` · never restarted, made again on demand".to_owned(), String::new()),
    };
    format!(
        "| `{actor}` · [{file}]({file})<br>`{instances}` | {supervisor} | {taken}<br>out: {asks} | {permits}{when_full} \
         | {lost} | {stuck} |\n"
    )
}

fn rows(board: &Board) -> String {
    let mut text = String::from(
        "| actor · file | supervisor · policy | in → reply; out | capacity | lost on restart | stuck when |\n\
         |---|---|---|---|---|---|\n",
    );
    for card in cards::all() {
        // The root is a supervisor like the others, but nobody supervises it.
        let vitals = board.values().find(|vitals| vitals.kind == card.actor && vitals.parent.is_some());
        assert!(vitals.is_some() || card.actor == ON_DEMAND, "{} does not run", card.actor);
        write!(text, "{}", row(card, vitals.map(Arc::as_ref))).unwrap();
    }
    text
}

/// Cards and ports speak of the same messages.
fn check_ports(board: &Board) {
    let cards: BTreeMap<_, _> = cards::all().into_iter().map(|card| (card.actor, card)).collect();
    for vitals in board.values() {
        let card = cards.get(vitals.kind).unwrap_or_else(|| panic!("`{}` has no card", vitals.kind));
        let taken: BTreeSet<_> = card.takes.iter().map(|taken| taken().message).collect();
        let ports = vitals.ports.iter().map(|port| port.name.to_owned());
        let filled: BTreeSet<_> = ports.chain(["Control".to_owned()]).collect();
        assert_eq!(taken, filled, "the card of {} names what its ports carry", vitals.id);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(card.file);
        assert!(file.is_file(), "{}", card.file);
    }
}

/// The drawing of the tree has everybody below the right supervisor.
fn check_tree(text: &str, board: &Board) {
    for vitals in board.values() {
        let Some(parent) = vitals.parent.as_ref().filter(|parent| **parent != InstanceId::root()) else { continue };
        let line = text.lines().find(|line| line.contains(parent.as_str())).unwrap();
        let path = vitals.id.as_str();
        let (family, _) = path.split_once('/').unwrap();
        let label = if family == "core" { path.to_owned() } else { format!("{family}/<id>") };
        assert!(line.contains(&label), "`{label}` is missing in `{line}`");
    }
}

#[actix_rt::test]
async fn actors_md_is_what_the_code_says() {
    let board = board().await;
    check_ports(&board);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("actors.md");
    let text = std::fs::read_to_string(&path).unwrap();
    check_tree(&text, &board);
    let (head, rest) = text.split_once(BEGIN).expect("actors.md says where the rows begin");
    let (_, tail) = rest.split_once(END).expect("actors.md says where the rows end");
    let right = format!("{head}{BEGIN}\n{}\n{END}{tail}", rows(&board));
    if text == right {
        return;
    }
    if std::env::var_os("MINDBOT_UPDATE").is_some() {
        std::fs::write(&path, right).unwrap();
        return;
    }
    panic!("actors.md differs from the code. MINDBOT_UPDATE=1 writes it; it ought to be:\n{right}");
}
