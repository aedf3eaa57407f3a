//! A web service of the operator's that judges tokens.
//!
//! It gets `POST` with `{"token": …, "address": …, "origin": …}` and answers 200 with the grant's claims as JSON, or 401 or
//! 403. Whatever else happens (another status, no answer in time, nonsense) lets nobody in, and tells the client to try
//! again later.

use super::{Applicant, Claims, Grant, Refusal};
use crate::config::RelayError;
use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::warn;
use url::Url;

/// The time for an answer, waiting for a turn included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions at once.
const MAX_ASKING: usize = 64;
/// Bytes of an answer.
const MAX_ANSWER: usize = 64 << 10;

const REFUSED: Refusal = Refusal::Invalid("This token was refused.");
const UNAVAILABLE: Refusal = Refusal::Unavailable("The token cannot be checked now; try again later.");

/// Where tokens are judged.
#[derive(Debug)]
pub(crate) struct Callback {
    url: Url,
    host: String,
    port: u16,
    tls: Option<Tls>,
    turns: Semaphore,
}

struct Tls(TlsConnector, ServerName<'static>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Callback {
    pub(crate) fn new(url: &str) -> Result<Self, RelayError> {
        // What is shown of it has no password and no query.
        let fail = |why: &str| RelayError::Config(format!("the URL that judges tokens {why}: use http(s)://host/path"));
        let url = Url::parse(url).map_err(|error| fail(&format!("cannot be used ({error})")))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(fail("is not of the web")),
        };
        let host = url.host_str().ok_or_else(|| fail("has no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let tls = match tls {
            true => Some(Tls(
                connector()?,
                ServerName::try_from(host.clone()).map_err(|_| fail("has no usable host"))?,
            )),
            false => None,
        };
        Ok(Self {
            url,
            host,
            port,
            tls,
            turns: Semaphore::new(MAX_ASKING),
        })
    }

    pub(crate) async fn judge(&self, token: &str, applicant: &Applicant) -> Result<Arc<Grant>, Refusal> {
        let question = serde_json::json!({
            "token": token,
            "address": applicant.address,
            "origin": applicant.origin,
        });
        let asking = async {
            let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
            self.ask(question.to_string()).await
        };
        let answer = match timeout(PATIENCE, Box::pin(asking)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.failed(&error)),
            Err(_) => return Err(self.failed("no answer in time")),
        };
        match answer {
            (StatusCode::OK, body) => match serde_json::from_slice::<Claims>(&body) {
                // Anything that is JSON, such as an error that came as 200, would let everybody in.
                Ok(claims) if claims.sub.is_empty() => Err(self.failed("its answer names nobody: it has no `sub`")),
                Ok(claims) => {
                    let grant = Grant::new(claims, None);
                    match grant.lasts() {
                        Some(Duration::ZERO) => Err(REFUSED),
                        _ => Ok(Arc::new(grant)),
                    }
                }
                Err(error) => Err(self.failed(&format!("its answer cannot be read: {error}"))),
            },
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Err(REFUSED),
            (status, _) => Err(self.failed(&format!("it answered {status}"))),
        }
    }

    fn failed(&self, why: &str) -> Refusal {
        warn!(host = self.host, port = self.port, "tokens cannot be checked: {why}");
        UNAVAILABLE
    }

    async fn ask(&self, question: String) -> Result<(StatusCode, Bytes), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| text(&error))?;
        match &self.tls {
            None => self.post(stream, question).await,
            Some(Tls(connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(|e| text(&e))?;
                self.post(stream, question).await
            }
        }
    }

    async fn post<S>(&self, stream: S, question: String) -> Result<(StatusCode, Bytes), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| text(&e))?;
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let request = Request::post(path)
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(question)))
            .map_err(|error| text(&error))?;
        let answering = async {
            let response = sender.send_request(request).await.map_err(|e| text(&e))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            Ok((status, body.map_err(|error| text(&error))?.to_bytes()))
        };
        // The connection lives no longer than the question.
        let mut answering = std::pin::pin!(answering);
        tokio::select! {
            answer = &mut answering => answer,
            ended = connection => match ended {
                Ok(()) => answering.await,
                Err(error) => Err(text(&error)),
            },
        }
    }
}

fn connector() -> Result<TlsConnector, RelayError> {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RelayError::Config(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
