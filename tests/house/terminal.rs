//! `mindbot chat` before a gateway that goes away.

use crate::support::chat::in_terminal;
use crate::support::eventually;
use crate::support::office::{Office, Setup};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;

#[actix_rt::test]
async fn the_terminal_shows_the_answer_once_although_the_gateway_was_killed_in_between() {
    let office = Office::open(Setup::default()).await;
    let address = office.gateway.address.clone();
    let terminal = in_terminal(&["--url", &office.gateway.url("")], "echo:first\nslow:20\n");
    let asked = || async { (office.model.counters.completed.load(Ordering::Relaxed) == 1).then_some(()) };
    eventually("the first question is answered", asked).await;
    let asked = || async { (office.model.counters.open.load(Ordering::Relaxed) == 1).then_some(()) };
    eventually("the second question is with the model", asked).await;

    let _office = office.restarted(|gateway| gateway.kill().env("MINDBOT_SERVER__BIND", &address).start());
    let output = actix_rt::task::spawn_blocking(|| terminal.wait_with_output()).await.unwrap().unwrap();
    let words: Vec<_> = (1..=20).map(|number| format!("word{number}")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("first\n{}", words.join(" ")), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("waiting for it"), "{output:?}");
}

#[actix_rt::test]
async fn a_line_typed_while_the_gateway_is_away_is_answered_once_it_is_back() {
    let office = Office::open(Setup::default()).await;
    let address = office.gateway.address.clone();
    let mut terminal = in_terminal(&["--url", &office.gateway.url("")], "echo:first\n");
    let asked = || async { (office.model.counters.completed.load(Ordering::Relaxed) == 1).then_some(()) };
    eventually("the first question is answered", asked).await;

    let _office = office.restarted(|gateway| {
        let gateway = gateway.kill();
        let nobody = TcpListener::bind(&address).unwrap();
        terminal.stdin.as_mut().unwrap().write_all(b"echo:second\n").unwrap();
        let is_post = |mut connection: std::net::TcpStream| {
            let mut head = [0; 4];
            connection.read_exact(&mut head).is_ok() && head == *b"POST"
        };
        assert!(nobody.incoming().any(|connection| is_post(connection.unwrap())), "the line is sent");
        drop(nobody);
        gateway.env("MINDBOT_SERVER__BIND", &address).start()
    });
    let output = actix_rt::task::spawn_blocking(|| terminal.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "first\nsecond", "{output:?}");
}

#[actix_rt::test]
async fn a_refused_token_ends_the_terminal_at_once() {
    let rest = "[[platforms]]\nid = 'guarded'\nkind = 'web'\naccess = 'token'\naccess_token = 'the-right-token-1'\n";
    let office = Office::open(Setup { rest, ..Setup::default() }).await;
    let arguments = ["--url", &office.gateway.url(""), "--platform", "guarded", "--token", "the-wrong-token"];
    let terminal = in_terminal(&arguments, "echo:first\n");
    let output = actix_rt::task::spawn_blocking(|| terminal.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("401") && !told.contains("waiting for it"), "{told}");
}
