//! A model behind TLS, as the real ones are: asked when the system vouches for it, and otherwise left alone.

use crate::support::office::{Office, Setup, branch, details};
use mindbot::simulate::openai;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Puts TLS before `upstream`. Gives the port, and the certificate that whoever asks there has to trust.
async fn front(upstream: String) -> (u16, String) {
    mindbot::egress::install_tls();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    actix_rt::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            actix_rt::spawn(async move {
                // Who does not trust the certificate ends here.
                let Ok(mut inside) = acceptor.accept(socket).await else { return };
                let mut outside = TcpStream::connect(upstream).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut inside, &mut outside).await);
            });
        }
    });
    (port, cert.pem())
}

#[actix_rt::test]
async fn a_model_behind_tls_is_asked_and_one_that_nobody_vouches_for_is_not() {
    let upstream = openai::start(openai::Options::default()).unwrap();
    let address = upstream.base_url().strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap().to_owned();
    let ((known, certificate), (stranger, _)) = (front(address.clone()).await, front(address).await);
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let behind = |id, port| branch(id, &format!("https://localhost:{port}/v1"), "");
    let rest = behind("known", known) + &behind("stranger", stranger);
    let environment = [("SSL_CERT_FILE".to_owned(), trusted.to_str().unwrap().to_owned())];
    let office = Office::open_with(Setup { rest: &rest, ..Setup::default() }, &environment).await;

    assert_eq!(office.ask("lin", "echo:known").await, "known");
    assert_eq!(office.ask("lin", "echo:known again").await, "known again", "over the same connection");

    office.write("wu", "echo:stranger").await;
    let message = office.message_after("wu", "unanswered").await;
    let unanswered = details(&message, "unanswered").next().unwrap();
    assert!(unanswered.to_string().contains("invalid peer certificate"), "{unanswered}");
    assert_eq!(upstream.counters.completed.load(Ordering::Relaxed), 2, "nothing was said to a stranger");
}
