//! One HTTP request over its own connection, from this machine's address in the network, with a limit of bytes for the
//! answer. No redirects, proxies, host names or TLS.

use crate::{place::Place, soap};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use std::net::Ipv4Addr;
use tokio::net::TcpSocket;

/// Longest head of an answer; also hyper's read buffer.
const HEAD_MAX: usize = 16 << 10;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    #[error("no HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("no request: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("no whole answer: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

pub(crate) async fn get(local: Ipv4Addr, place: &Place, most: usize) -> Result<Answer, HttpError> {
    exchange(local, place, Request::get(place.path()), Bytes::new(), most).await
}

pub(crate) async fn post(
    local: Ipv4Addr,
    place: &Place,
    soap::Request { action, body }: soap::Request,
    most: usize,
) -> Result<Answer, HttpError> {
    let head = Request::post(place.path())
        .header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"")
        .header("soapaction", action);
    exchange(local, place, head, body.into(), most).await
}

async fn exchange(
    local: Ipv4Addr,
    place: &Place,
    head: hyper::http::request::Builder,
    body: Bytes,
    most: usize,
) -> Result<Answer, HttpError> {
    let head = head
        .header(HOST, place.addr().to_string())
        .header(USER_AGENT, "UPnP/1.1 FyteClub/1")
        .header(CONNECTION, "close");
    let request = head.body(Full::new(body))?;
    let socket = TcpSocket::new_v4()?;
    // Another interface's network may have the same addresses.
    socket.bind((local, 0).into())?;
    let stream = socket.connect(place.addr().into()).await?;
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let answer = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(HttpError::Body)?;
        Ok(Answer { status: head.status.as_u16(), body: body.to_bytes() })
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        // The body may be complete although the connection has ended.
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}
