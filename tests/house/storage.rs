//! Full disks, locked databases, old texts and crashes: nothing that was acknowledged is lost, and the trace tells all.

use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::office::{Office, Setup, details, now};
use rusqlite::Connection;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Bytes: above the index of the database's log, below everything that is written to.
const LIMIT: u64 = 40 * 1024;
const DAY_MS: i64 = 24 * 3600 * 1000;

fn database(folder: &Path) -> Connection {
    Connection::open(folder.join("data/mindbot.db")).unwrap()
}

/// Writes `echo:{text}` until it is refused. Answers the refusal, and who had been acknowledged before.
async fn write_until_refused(office: &Office, name: &str) -> (reqwest::Response, Vec<String>) {
    let mut taken = Vec::new();
    loop {
        let user = format!("{name}-{}", taken.len());
        let response = office.post(&user, &format!("echo:{user}")).await;
        if response.status() != 200 {
            return (response, taken);
        }
        taken.push(user);
        assert!(taken.len() < 5000, "nothing is refused");
    }
}

/// What a person has to be told when nothing can be stored: come back later, and neither a cause nor a trace.
async fn check_refusal(response: reqwest::Response) {
    assert_eq!(response.status(), 503);
    assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    let body = response.text().await.unwrap();
    assert!(body.contains("detail") && !body.contains("panicked") && !body.contains("src/"), "{body}");
}

async fn answered_once(office: &Office, users: &[String]) {
    for user in users {
        assert_eq!(office.replies(user, 1).await, [user.as_str()]);
    }
}

fn limit_files(gateway: &Gateway, bytes: &str) {
    let set =
        Command::new("prlimit").args(["--pid", &gateway.pid().to_string(), &format!("--fsize={bytes}:")]).status();
    assert!(set.unwrap().success());
}

#[actix_rt::test]
async fn a_disk_that_fills_up_refuses_loses_nothing_and_recovers_by_itself() {
    let office = Office::open(Setup::default()).await;
    let office = office.restarted(|gateway| gateway.stop().1.ignoring("XFSZ").start());
    assert_eq!(office.ask("before", "echo:fine").await, "fine");
    let waiting: Vec<String> = (0..5).map(|number| format!("waiting-{number}")).collect();
    for user in &waiting {
        office.write(user, "slow:10").await;
    }
    // Neither the database nor its log may grow: the answers that are under way cannot be stored either.
    let log = office.gateway.path().join("data/mindbot.db-wal");
    let has_grown = || async { (std::fs::metadata(&log).unwrap().len() > LIMIT).then_some(()) };
    eventually("the log is longer than the limit", has_grown).await;
    limit_files(&office.gateway, &LIMIT.to_string());
    let (refusal, taken) = write_until_refused(&office, "full").await;
    check_refusal(refusal).await;
    let (status, readiness) = office.look("/readyz").await;
    assert!(status == 503 && readiness.contains("store"), "{readiness}");
    let could_not = || async { office.gateway.log().contains("could not be stored").then_some(()) };
    eventually("an answer finds the disk full", could_not).await;
    limit_files(&office.gateway, "unlimited");
    let back = || async { (office.look("/readyz").await.0 == 200).then_some(()) };
    eventually("the gateway is ready again", back).await;
    assert_eq!(office.ask("after", "echo:fine again").await, "fine again");
    answered_once(&office, &taken).await;
    for user in &waiting {
        let shown = office.replies(user, 1).await;
        assert!(shown.len() == 1 && shown[0].contains("word10"), "{user}: {shown:?}");
    }
}

#[actix_rt::test]
async fn below_the_free_space_that_is_kept_nothing_is_taken_and_the_operator_reads_why() {
    let office = Office::open(Setup { rest: "[storage]\nmin_free = '1000000GiB'", ..Setup::default() }).await;
    let (refusal, taken) = write_until_refused(&office, "low").await;
    check_refusal(refusal).await;
    let (status, readiness) = office.look("/readyz").await;
    assert!(status == 503 && readiness.contains("storage.min_free"), "{readiness}");
    let chat = crate::support::chat::Chat::of(&office.gateway).post("c", "1", "hello").await;
    check_refusal(chat).await;
    assert!(office.gateway.log().contains("webhooks are refused"), "an alert");
    // What was taken is still answered.
    answered_once(&office, &taken).await;
}

#[actix_rt::test]
async fn a_database_that_somebody_else_holds_refuses_and_goes_on_when_it_is_free() {
    let office = Office::open(Setup::default()).await;
    assert_eq!(office.ask("before", "echo:fine").await, "fine");
    let stranger = database(office.gateway.path());
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (refusal, taken) = write_until_refused(&office, "locked").await;
    assert!(taken.is_empty());
    check_refusal(refusal).await;
    stranger.execute_batch("COMMIT").unwrap();
    assert_eq!(office.ask("after", "echo:fine again").await, "fine again");
}

#[actix_rt::test]
async fn old_texts_and_traces_go_ids_stay_longer_and_nothing_open_is_touched() {
    let office = Office::open(Setup::default()).await;
    let mut replayed = office.callback("old", "echo:old");
    replayed.msg_id = Some("4711".into());
    office.deliver(replayed.seal(now()).unwrap()).await;
    office.replies("old", 1).await;
    for user in ["young", "ancient", "open"] {
        office.ask(user, &format!("echo:{user}")).await;
    }
    let office = office.restarted(|gateway| {
        let launch = gateway.stop().1;
        age(&database(launch.folder()));
        launch.start()
    });
    let connection = database(office.gateway.path());
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let swept = || async { (count("SELECT count(*) FROM inbox WHERE platform = 'gone'") == 0).then_some(()) };
    eventually("more than one batch of old ids is let go", swept).await;
    let text = "SELECT count(*) FROM inbox WHERE text IS NOT NULL AND sender = ";
    let sizes = |user: &str| {
        let message = format!("(SELECT id FROM inbox WHERE sender = '{user}')");
        [
            count(&format!("SELECT count(*) FROM inbox WHERE sender = '{user}'")),
            count(&format!("{text}'{user}'")),
            count(&format!("SELECT count(*) FROM trace WHERE message IN {message}")).min(1),
            count(&format!("SELECT count(*) FROM outbox WHERE message IN {message}")),
        ]
    };
    let forgotten = || async { (sizes("old") == [1, 0, 0, 0]).then_some(()) };
    eventually("an old text goes with its trace and reply, and its id stays", forgotten).await;
    assert_eq!(sizes("young"), [1, 1, 1, 1]);
    assert_eq!(sizes("ancient"), [0, 0, 0, 0]);
    assert_eq!(sizes("open"), [1, 1, 1, 1], "a reply is open");
    assert_eq!(count("SELECT count(*) FROM trace WHERE message NOT IN (SELECT id FROM inbox)"), 0);
    assert_eq!(count("SELECT count(*) FROM history WHERE answer = 'old'"), 0);
    // The id still keeps a replay from being answered.
    assert_eq!(office.deliver(replayed.seal(now()).unwrap()).await.status(), 200);
    assert_eq!(office.ask("old", "echo:new").await, "new");
    assert_eq!(office.shown("old"), ["old", "new"]);
    assert!(office.look("/metrics").await.1.contains("mindbot_store_bytes"));
}

/// Makes members' messages older, and adds many that are older still.
fn age(connection: &Connection) {
    for (user, days) in [("old", 40), ("open", 200), ("ancient", 100)] {
        let (past, mine) = (DAY_MS * days, format!("(SELECT id FROM inbox WHERE sender = '{user}')"));
        connection
            .execute_batch(&format!(
                "UPDATE history SET at = at - {past} WHERE message IN {mine};
                 UPDATE outbox SET created_at = created_at - {past} WHERE message IN {mine};
                 UPDATE inbox SET received_at = received_at - {past} WHERE sender = '{user}';"
            ))
            .unwrap();
    }
    let far = now() * 1000 + DAY_MS;
    connection
        .execute_batch(&format!(
            "UPDATE outbox SET state = 'ready', not_before = {far}
              WHERE message IN (SELECT id FROM inbox WHERE sender = 'open');
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
             INSERT INTO inbox (platform, external_id, conversation, queue, chat, kind, sender, text, sent_at, received_at, state)
             SELECT 'gone', i, 'c', 'c', 'private', 'message', 'gone', 'text', 0, 1, 'done' FROM n;"
        ))
        .unwrap();
}

#[actix_rt::test]
async fn the_trace_of_a_message_shows_the_crash_and_the_run_that_answered_it() {
    let office = Office::open(Setup::default()).await;
    office.write("survivor", "slow:20").await;
    office.message_after("survivor", "claimed").await;
    let office = office.restarted(|gateway| gateway.kill().start());
    let shown = office.replies("survivor", 1).await;
    assert!(shown.len() == 1 && shown[0].contains("word20"), "{shown:?}");
    let message = office.message_after("survivor", "sent").await;
    let steps: Vec<_> =
        message["trace"].as_array().unwrap().iter().map(|item| item["step"].as_str().unwrap()).collect();
    let order: Vec<_> = steps.iter().filter(|step| !matches!(**step, "routed" | "recalled" | "retrieved")).collect();
    assert_eq!(
        order,
        [&"received", &"claimed", &"recovered", &"claimed", &"answered", &"committed", &"sending", &"sent"]
    );
    let runs: Vec<_> = details(&message, "claimed").map(|detail| detail["run"].clone()).collect();
    assert_ne!(runs[0], runs[1]);
    let recovered = details(&message, "recovered").next().unwrap();
    assert_eq!(recovered["strikes"], json!(1));
    assert!(recovered["reason"].as_str().unwrap().contains("process"), "{recovered}");
    assert_eq!((&message["attempt"], message["state"].as_str()), (&json!(2), Some("done")));
}
