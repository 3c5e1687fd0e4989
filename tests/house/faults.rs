//! One actor that fails under load costs what it had in hand: nobody else restarts, nothing is lost or said twice.
//!
//! The short form, one fault of each kind; `scripts/bench` has the long one. Nothing here asserts a time.

use crate::start::LOCAL;
use crate::support::actors::{Actor, Actors, Board, restarted, subtree};
use crate::support::chat::{Chat, client};
use crate::support::eventually;
use crate::support::gateway::{Gateway, KEY, Launch};
use crate::support::office::{Office, Setup};
use crate::support::siege::{Pressure, Siege, Verdict};
use futures_util::future::join;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Every kind of actor beside those of the siege, and a second way through the house: web, documents, local answers.
const MORE: &str = "
[[platforms]]
id = 'web'
kind = 'web'
[[knowledge]]
id = 'docs'
paths = ['docs']
[[providers]]
id = 'guide'
kind = 'local'
[[assistants]]
id = 'librarian'
providers = ['guide']
knowledge = ['docs']
[[routes]]
match = { platform = 'web' }
assistant = 'librarian'
";
/// One line for each actor whose constructor panics; see the feature `chaos-tests`.
const BROKEN: &str = "broken-constructors";

const ACTORS: [&str; 11] = [
    "platform/wecom",
    "provider/model",
    "core/dispatcher",
    "knowledge/docs",
    "core/pump",
    "platform/web",
    "core/retriever",
    "core/manager",
    "provider/guide",
    "core/ingester",
    "core/reloader",
];
const SUPERVISORS: [&str; 6] = [
    "supervisor/platforms",
    "supervisor/providers",
    "supervisor/knowledge",
    "supervisor/dispatch",
    "supervisor/operations",
    "root",
];

/// A siege, the second way, and the actor list.
struct Scene {
    siege: Siege,
    actors: Actors,
    chat: Chat,
    documents: usize,
}

impl Scene {
    async fn set(pressure: Pressure) -> Self {
        let pressure = Pressure { more: MORE, environment: &[("MINDBOT_BROKEN_CONSTRUCTORS", BROKEN)], ..pressure };
        let siege = Siege::lay(pressure).await;
        let (actors, chat) = (Actors::of(&siege.gateway), Chat::of(&siege.gateway));
        std::fs::create_dir(siege.gateway.path().join("docs")).unwrap();
        let mut scene = Self { siege, actors, chat, documents: 0 };
        scene.add_document();
        scene.actors.restart("core/ingester").await;
        scene.is_served().await;
        scene
    }

    /// Writes a document that answers [`Scene::is_served`]'s next question.
    fn add_document(&mut self) {
        self.documents += 1;
        let n = self.documents;
        let text = format!("# Door number {n}\n\nThe keyword of door number {n} is lantern{n}.\n");
        std::fs::write(self.gateway().path().join(format!("docs/door-{n}.md")), text).unwrap();
    }

    fn gateway(&self) -> &Gateway {
        &self.siege.gateway
    }

    /// Waits until the newest document is quoted in the web chat: platform, dispatcher, conversation, retriever, knowledge,
    /// ingester, manager, provider and pump have all done their part.
    async fn chat_is_served(&self) {
        let n = self.documents;
        let look = || async {
            let conversation = uuid::Uuid::new_v4().simple().to_string();
            let answer = self.chat.ask(&conversation, &format!("What is the keyword of door number {n}?")).await;
            answer.contains(&format!("lantern{n}")).then_some(())
        };
        eventually(&format!("the web chat quotes document {n}"), look).await;
    }

    /// Waits until members are shown replies to what they write from now on.
    async fn members_are_served(&self) {
        let (written, shown) = (self.siege.acknowledged(), self.siege.wecom.calls().shown);
        let look = || async {
            let has_moved = self.siege.acknowledged() > written && self.siege.wecom.calls().shown > shown + 10;
            has_moved.then_some(())
        };
        eventually("members are shown replies", look).await;
    }

    async fn is_served(&self) {
        join(self.chat_is_served(), self.members_are_served()).await;
        let validate = client().post(self.gateway().url("/api/v1/config/validate")).bearer_auth(KEY);
        let status = validate.json(&json!({ "toml": "" })).send().await.unwrap().status();
        assert_eq!(status, 200, "the reloader answers");
    }

    /// Puts a fault in, waits until the actor is back, and sees that only those who had to restarted, once each.
    async fn suffer(&mut self, path: &str, kind: &str) {
        if path == "core/ingester" {
            self.add_document();
        }
        let before = self.actors.board().await;
        self.actors.break_down(path, kind).await;
        let expected = subtree(&before, path);
        let look = || async {
            let board = self.actors.board().await;
            let is_whole = expected.iter().all(|path| is_back(&before, &board, path));
            is_whole.then_some(board)
        };
        eventually(&format!("{path} is back after a {kind}"), look).await;
        self.is_served().await;
        let after = self.actors.board().await;
        assert_eq!(restarted(&before, &after), expected, "after a {kind} of {path}");
        for path in &expected {
            assert_eq!(after[path].generation, before[path].generation + 1, "{path} restarted once");
        }
    }

    async fn verdict(self) -> (Verdict, Gateway) {
        self.siege.verdict().await
    }
}

fn is_back(before: &Board, after: &Board, path: &str) -> bool {
    after.get(path).is_some_and(|actor| actor.generation > before[path].generation && actor.state == "running")
}

fn assert_kept(verdict: &Verdict) {
    assert!(verdict.acknowledged > 50, "too little load to mean anything: {verdict:?}");
    assert!(verdict.lost.is_empty(), "{verdict:?}");
    assert!(verdict.duplicates.is_empty(), "{verdict:?}");
    assert!(verdict.out_of_order.is_empty(), "{verdict:?}");
}

fn light() -> Pressure {
    Pressure { members: 8, ..Pressure::default() }
}

#[actix_rt::test]
async fn a_panic_or_a_stop_of_any_actor_restarts_that_one_alone() {
    let mut scene = Scene::set(light()).await;
    let board = scene.actors.board().await;
    let kinds =
        |paths: &mut dyn Iterator<Item = &str>| paths.map(|path| board[path].kind.clone()).collect::<BTreeSet<_>>();
    assert_eq!(
        kinds(&mut ACTORS.into_iter().chain(SUPERVISORS)),
        kinds(&mut board.keys().map(String::as_str)),
        "every kind of actor has its turn"
    );
    for kind in ["panic", "stop"] {
        for path in ACTORS {
            scene.suffer(path, kind).await;
        }
    }
    for path in SUPERVISORS {
        scene.suffer(path, "panic").await;
        scene.suffer(path, "stop").await;
    }
    let (verdict, gateway) = scene.verdict().await;
    assert_kept(&verdict);
    assert!(!gateway.log().contains("\"alert\":true"), "nothing that an operator would have to hear about");
}

#[actix_rt::test]
async fn an_actor_that_stops_reading_is_cut_and_replaced() {
    let scene = Scene::set(light()).await;
    let before = scene.actors.board().await;
    // One in each family; the last one is a supervisor, and takes its only child along.
    let deaf = ["platform/wecom", "provider/model", "knowledge/docs", "core/dispatcher", "supervisor/operations"];
    for path in deaf {
        scene.actors.break_down(path, "hang").await;
    }
    for path in deaf.into_iter().chain(["core/reloader"]) {
        scene.actors.until_back(path, &before).await;
    }
    scene.is_served().await;
    let after = scene.actors.board().await;
    let expected = deaf.into_iter().chain(["core/reloader"]).map(str::to_owned).collect();
    assert_eq!(restarted(&before, &after), expected);
    let (verdict, gateway) = scene.verdict().await;
    assert_kept(&verdict);
    assert_eq!(gateway.log().matches("does not answer; cutting it").count(), deaf.len());
}

/// Blocks the thread of an actor until it has woken up again, and sees that its family has moved meanwhile.
async fn block(path: &str, supervisor: &str) {
    let scene = Scene::set(light()).await;
    let before = scene.actors.board().await;
    let began = Instant::now();
    scene.actors.break_down(path, "block").await;
    scene.actors.until_back(path, &before).await;
    scene.is_served().await;
    let after = scene.actors.board().await;
    let mut family = subtree(&before, supervisor);
    family.remove(supervisor);
    assert_eq!(restarted(&before, &after), family, "the whole family moves, and nobody else");
    for path in &family {
        assert_eq!(after[path].restarts, before[path].restarts, "{path}: nobody's failure is counted");
        assert!(after[path].last_error.as_ref().is_some_and(|error| error.contains("stuck")), "{path} says why");
    }
    // What lay on the stuck thread wakes up, and must do no harm.
    while began.elapsed() < Duration::from_secs(31) {
        scene.members_are_served().await;
    }
    scene.is_served().await;
    let last = scene.actors.board().await;
    assert!(restarted(&after, &last).is_empty(), "waking up restarts nobody");
    let (verdict, gateway) = scene.verdict().await;
    assert_kept(&verdict);
    let log = gateway.log();
    let alerts: Vec<_> = log.lines().filter(|line| line.contains("\"alert\":true")).collect();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert!(alerts[0].contains("a thread is stuck"), "{alerts:?}");
}

#[actix_rt::test]
async fn a_blocked_thread_is_left_behind_and_its_family_moves() {
    join(block("platform/wecom", "supervisor/platforms"), block("core/pump", "supervisor/dispatch")).await;
}

#[actix_rt::test]
async fn a_conversation_that_fails_costs_its_own_turn_and_that_runs_again() {
    let office = Office::open(Setup { server: "chaos = true", ..Setup::default() }).await;
    let actors = Actors::of(&office.gateway);
    let before = actors.board().await;
    let kinds = ["panic", "stop", "hang"];
    for kind in kinds {
        office.write(kind, "slow:20").await;
        let message = office.message_after(kind, "claimed").await;
        let path = format!("conversation/{}", message["conversation"].as_str().unwrap());
        actors.break_down(&path, kind).await;
        assert_eq!(office.ask("neighbour", &format!("echo:{kind} of another")).await, format!("{kind} of another"));
    }
    for kind in kinds {
        let shown = office.replies(kind, 1).await;
        assert!(shown.len() == 1 && shown[0].trim_end().ends_with("word20"), "{kind}: {shown:?}");
        let message = office.message(kind).await;
        assert_eq!((&message["attempt"], &message["strikes"]), (&json!(2), &json!(1)), "{kind}: {message}");
    }
    assert!(restarted(&before, &actors.board().await).is_empty(), "nobody who is supervised restarts");
    assert_eq!(actors.fault("conversation/nobody", "panic").await, 404);
}

#[actix_rt::test]
async fn a_provider_that_fails_in_the_middle_of_an_answer_does_not_show_its_beginning_twice() {
    let office = Office::open(Setup { server: "chaos = true", ..Setup::default() }).await;
    let actors = Actors::of(&office.gateway);
    let words: String = (1..=20).map(|word| format!("word{word} ")).collect();
    for failing in ["provider/model", "core/manager"] {
        let user = failing.replace('/', "-");
        let mut events = Chat::of(&office.gateway).follow(&user, None).await;
        Chat::of(&office.gateway).say(&user, "slow:20").await;
        events.find(|event| event.name == "delta" && event.data.to_string().contains("word3")).await;
        actors.break_down(failing, "panic").await;
        let answer = events.find(|event| event.name == "message" && event.data["role"] == "assistant").await;
        assert_eq!(answer.data["text"].as_str().unwrap().trim_end(), words.trim_end(), "{failing}");
    }
}

/// Six panics, each as soon as the actor runs again.
async fn panic_six_times(scene: &Scene, path: &str) {
    for _ in 0..6 {
        let running = scene.actors.until(path, "runs", |actor| actor.state == "running").await;
        let known = running[path].generation;
        scene.actors.break_down(path, "panic").await;
        let has_fallen = |actor: &Actor| actor.generation > known || actor.state != "running";
        scene.actors.until(path, "falls", has_fallen).await;
    }
}

/// Alert lines about an actor.
fn alerts(gateway: &Gateway, path: &str) -> Vec<String> {
    let log = gateway.log();
    let alerts = log.lines().filter(|line| line.contains("\"alert\":true") && line.contains(&format!("\"{path}\"")));
    alerts.map(str::to_owned).collect()
}

fn assert_given_up(gateway: &Gateway, path: &str) {
    let alerts = alerts(gateway, path);
    assert!(alerts.len() == 1 && alerts[0].contains("given up for now"), "exactly one alert line: {alerts:?}");
}

#[actix_rt::test]
async fn what_fails_again_and_again_is_given_up_alone_until_somebody_restarts_it() {
    let scene = Scene::set(light()).await;
    for path in ["provider/model", "platform/wecom"] {
        let before = scene.actors.board().await;
        panic_six_times(&scene, path).await;
        scene.actors.until(path, "is given up", |actor| actor.state == "failed").await;
        scene.chat_is_served().await;
        assert_eq!(scene.actors.board().await[path].state, "failed");
        assert_given_up(scene.gateway(), path);
        scene.actors.restart(path).await;
        scene.members_are_served().await;
        let after = scene.actors.board().await;
        assert_eq!(after[path].state, "running");
        assert_eq!(restarted(&before, &after), BTreeSet::from([path.to_owned()]));
    }
    let (verdict, _gateway) = scene.verdict().await;
    assert_kept(&verdict);
}

#[actix_rt::test]
async fn what_the_gateway_cannot_do_without_takes_its_family_along_when_it_fails_again_and_again() {
    let scene = Scene::set(light()).await;
    let before = scene.actors.board().await;
    panic_six_times(&scene, "core/manager").await;
    scene.actors.until_back("supervisor/providers", &before).await;
    scene.is_served().await;
    let after = scene.actors.board().await;
    assert_eq!(restarted(&before, &after), subtree(&before, "supervisor/providers"));
    let alerts = alerts(scene.gateway(), "core/manager");
    assert!(alerts.len() == 1 && alerts[0].contains("its supervisor restarts"), "{alerts:?}");
    let (verdict, _gateway) = scene.verdict().await;
    assert_kept(&verdict);
}

#[actix_rt::test]
async fn a_constructor_that_panics_is_a_failed_child_and_no_more() {
    let scene = Scene::set(light()).await;
    let before = scene.actors.board().await;
    let broken = scene.gateway().path().join(BROKEN);
    std::fs::write(&broken, "provider/guide\nprovider/new\n").unwrap();
    scene.actors.break_down("provider/guide", "panic").await;
    scene.actors.until("provider/guide", "is given up", |actor| actor.state == "failed").await;
    scene.members_are_served().await;
    assert_given_up(scene.gateway(), "provider/guide");
    // In a reload it is a change that is not applied; what runs goes on.
    let config = std::fs::read_to_string(scene.gateway().config()).unwrap();
    let more = "\n[[providers]]\nid = 'new'\nkind = 'local'\n";
    std::fs::write(scene.gateway().config(), config.clone() + more).unwrap();
    let look =
        || async { scene.gateway().log().contains("provider/new could not be started: panicked at").then_some(()) };
    eventually("the log says why the change was not applied", look).await;
    std::fs::write(scene.gateway().config(), config).unwrap();
    std::fs::remove_file(&broken).unwrap();
    scene.actors.restart("provider/guide").await;
    scene.is_served().await;
    assert_eq!(restarted(&before, &scene.actors.board().await), BTreeSet::from(["provider/guide".to_owned()]));
    let (verdict, _gateway) = scene.verdict().await;
    assert_kept(&verdict);
}

#[actix_rt::test]
async fn a_constructor_that_panics_at_the_start_keeps_nobody_else_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join(BROKEN);
    std::fs::write(&broken, "provider/model\n").unwrap();
    let environment = [("MINDBOT_BROKEN_CONSTRUCTORS".to_owned(), broken.display().to_string())];
    let guide = "[[providers]]\nid = 'guide'\nkind = 'local'\n[[assistants]]\nid = 'librarian'\nproviders = ['guide']\n\
                 [[routes]]\nmatch = { keyword = 'guide' }\nassistant = 'librarian'\n";
    let office = Office::open_with(Setup { rest: guide, ..Setup::default() }, &environment).await;
    let actors = Actors::of(&office.gateway);
    actors.until("provider/model", "is given up", |actor| actor.state == "failed").await;
    assert_given_up(&office.gateway, "provider/model");
    let ready = office.get("/readyz").await;
    assert!(ready["ready"] == true && ready["degraded"].to_string().contains("provider/model"), "{ready}");
    assert!(!office.ask("reader", "guide, who are you?").await.is_empty(), "others are served");
    std::fs::remove_file(&broken).unwrap();
    actors.restart("provider/model").await;
    assert_eq!(office.ask("member", "echo:back again").await, "back again");
}

#[actix_rt::test]
async fn a_second_stuck_thread_within_the_hour_ends_the_process() {
    let mut gateway = Launch::with_server("chaos = true", LOCAL).start();
    let actors = Actors::of(&gateway);
    actors.break_down("platform/web", "block").await;
    actors.break_down("provider/guide", "block").await;
    let status = gateway.wait();
    assert!(!status.success(), "{status}");
    let log = gateway.log();
    assert!(log.contains("is the second one stuck within an hour"), "{log}");
}

#[actix_rt::test]
async fn faults_are_for_drills_only() {
    let gateway = Launch::new(LOCAL).start();
    let actors = Actors::of(&gateway);
    let before = actors.board().await;
    for (path, kind) in [("platform/web", "panic"), ("core/dispatcher", "block"), ("root", "stop"), ("nobody", "panic")]
    {
        assert_eq!(actors.fault(path, kind).await, 403, "{path}");
    }
    assert!(restarted(&before, &actors.board().await).is_empty());
    let drill = Launch::with_server("chaos = true", LOCAL).start();
    let actors = Actors::of(&drill);
    for (path, kind, status) in
        [("nobody", "panic", 404), ("platform/web", "explode", 400), ("platform/web", "stop", 202)]
    {
        assert_eq!(actors.fault(path, kind).await, status, "{path}: {kind}");
    }
}
