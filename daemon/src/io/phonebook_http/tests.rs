//! Answers of what may be a phone book.

use super::*;
use fyteclub_proto::phonebook::Visibility;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

fn http(url: &str) -> PhonebookHttp {
    PhonebookHttp::new(url, PhonebookHttp::client().expect("TLS")).expect("a URL")
}

#[tokio::test]
async fn port_without_listener_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    assert_eq!(http(&url).upgrade("live").await.err(), Some(Lost::Refused));
}

async fn registration(head: &str, body: &str) -> (Result<(), PhonebookError>, Option<Lost>, PhonebookHttp) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let http = http(&format!("http://{}", listener.local_addr().expect("bound")));
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let asked = Register::signed("Alice", 7, Visibility::Listed, &http.authority(), 1, 1, &key);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {head}\r\nDate: Tue, 01 Dec 2026 02:31:56 GMT\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let ask = async { (http.register(&asked).await, http.upgrade("live").await.err()) };
    let serve = async {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("a client");
            assert!(stream.read(&mut [0; 4096]).await.expect("a request") > 0);
            stream.write_all(answer.as_bytes()).await.expect("it reads");
        }
    };
    let ((registered, live), ()) = tokio::join!(ask, serve);
    (registered, live, http)
}

#[tokio::test]
async fn what_is_no_phone_book_is_named() {
    for (head, body, names) in [
        ("200 OK\r\nContent-Type: text/html; charset=utf-8", "<html>", "a web page (200 OK)"),
        ("302 Found\r\nLocation: http://192.0.2.1/", "", "a redirect to another place (302 Found)"),
        ("511 Network Authentication Required\r\nContent-Type: text/html", "<html>", "says 511"),
        ("502 Bad Gateway\r\nContent-Type: text/html", "<html>", "a proxy says 502 Bad Gateway"),
    ] {
        let (registered, live, http) = registration(head, body).await;
        let error = registered.expect_err(names);
        assert!(error.to_string().contains(names) && !error.is_answer(), "{error}");
        assert!(error.to_string().starts_with("the phone book does not answer"), "{error}");
        assert_eq!(live, Some(Lost::Unreachable), "{head}");
        assert!(names.starts_with("says") || names.contains("proxy") || http.clock_ahead().is_none());
    }
    let plain = registration("200 OK", "hello").await.0.expect_err("no phone book");
    assert!(plain.to_string().contains("another program (200 OK)"), "{plain}");
    let taken = registration("409 Conflict", r#"{"error":"taken","code":"name_taken"}"#).await.0;
    assert!(taken.expect_err("taken").is_answer());
    let (registered, _, http) = registration("200 OK", r#"{"success":true}"#).await;
    assert!(registered.is_ok() && http.clock_ahead().is_some());
}

#[tokio::test]
async fn status_of_a_proxy_is_not_the_phone_books() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let http = http(&format!("http://{}", listener.local_addr().expect("bound")));
    let limited = |text: &str| Lost::Closed(CloseReason::Limited, text.into());
    for (answer, expected) in [
        ("502 Bad Gateway", Lost::Unreachable),
        ("503 Service Unavailable", Lost::Unreachable),
        ("503 Service Unavailable\r\nRetry-After: 5", limited("retry_after:5")),
        ("504 Gateway Timeout", Lost::Unreachable),
        ("429 Too Many Requests", limited("retry_after:30")),
        ("404 Not Found", Lost::Unsupported),
        ("403 Forbidden", Lost::NoUpgrade),
    ] {
        let upgrade = async { http.upgrade("live").await.err() };
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            assert!(stream.read(&mut [0; 4096]).await.expect("a request") > 0);
            let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("it reads");
        };
        assert_eq!(tokio::join!(upgrade, serve).0, Some(expected), "{answer}");
    }
}
