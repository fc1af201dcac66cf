//! One request to an endpoint. By hand, so that what a name leads to is looked at where it is connected to, and no proxy,
//! redirect or cookie comes between.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use kit::world::World;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::{Host, Url};

use crate::Config;
use crate::core::address::{self, Reach};
use crate::core::message::{self, headers};
use crate::core::retry::Problem;
use crate::meter;

/// What is sent: the same whenever it is tried.
pub(crate) struct Letter {
    pub(crate) id: String,
    pub(crate) body: Bytes,
}

pub(crate) struct Sender {
    tls: Option<TlsConnector>,
    reach: Reach,
    timeout: Duration,
    world: World,
}

impl Sender {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            tls: connector(),
            reach: config.reach(),
            timeout: Duration::from_secs(config.timeout_secs),
            world: World::real(),
        }
    }

    /// Sends once.
    pub(crate) async fn send(
        &self,
        url: &str,
        secret: &[u8],
        letter: &Letter,
    ) -> Result<(), Problem> {
        let tried = tokio::time::timeout(self.timeout, self.try_send(url, secret, letter)).await;
        let tried = tried.unwrap_or_else(|_| {
            let secs = self.timeout.as_secs();
            Err(Problem::Away(format!(
                "The endpoint has not answered within {secs} s."
            )))
        });
        meter::count(&tried);
        tried
    }

    async fn try_send(&self, url: &str, secret: &[u8], letter: &Letter) -> Result<(), Problem> {
        let url = address::check(url, self.reach).map_err(|s| Problem::Refused(s.message))?;
        let request = self.request(&url, secret, letter)?;
        let stream = self.connect(&url).await?;
        let status = match url.scheme() {
            "https" => exchange(self.encrypt(&url, stream).await?, request).await?,
            _ => exchange(stream, request).await?,
        };
        judge(status)
    }

    fn request(
        &self,
        url: &Url,
        secret: &[u8],
        letter: &Letter,
    ) -> Result<Request<Full<Bytes>>, Problem> {
        let now_secs = self.world.now_ms().div_euclid(1_000);
        let path = url.path().to_owned() + &url.query().map_or(String::new(), |q| format!("?{q}"));
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let signature = message::signature(secret, &letter.id, now_secs, &letter.body);
        Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("muster/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header(headers::ID, &letter.id)
            .header(headers::TIMESTAMP, now_secs)
            .header(headers::SIGNATURE, signature)
            .body(Full::new(letter.body.clone()))
            .map_err(|error| Problem::Refused(format!("The URL makes no request: {error}.")))
    }

    /// To an address that is allowed, of those that the name leads to.
    async fn connect(&self, url: &Url) -> Result<TcpStream, Problem> {
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(ip)) => vec![(IpAddr::V4(ip), port).into()],
            Some(Host::Ipv6(ip)) => vec![(IpAddr::V6(ip), port).into()],
            Some(Host::Domain(name)) => tokio::net::lookup_host((name, port))
                .await
                .map_err(|error| Problem::Away(format!("{name} is not found: {error}.")))?
                .collect(),
            None => Vec::new(),
        };
        let is_allowed = |a: &&SocketAddr| address::forbidden(a.ip(), self.reach).is_none();
        let allowed: Vec<SocketAddr> = addresses.iter().filter(is_allowed).copied().collect();
        if allowed.is_empty() {
            let why = addresses
                .iter()
                .find_map(|a| address::forbidden(a.ip(), self.reach));
            let why = why.unwrap_or("it has no address");
            return Err(Problem::Refused(format!(
                "The endpoint may not be connected to: {why}."
            )));
        }
        TcpStream::connect(&*allowed).await.map_err(|error| {
            Problem::Away(format!("The endpoint cannot be connected to: {error}."))
        })
    }

    async fn encrypt(
        &self,
        url: &Url,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Problem> {
        let away = |why: String| Problem::Away(format!("No TLS with the endpoint: {why}."));
        let name = url.host_str().unwrap_or_default();
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
        let name = name.map_err(|error| away(error.to_string()))?;
        let tls = self
            .tls
            .as_ref()
            .ok_or_else(|| away("it could not be set up here".to_owned()))?;
        let stream = tls.connect(name, stream).await;
        stream.map_err(|error| away(error.to_string()))
    }
}

/// Trusts whom the system trusts.
fn connector() -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    match builder {
        Ok(builder) => {
            let config = builder.with_root_certificates(roots).with_no_client_auth();
            Some(TlsConnector::from(Arc::new(config)))
        }
        Err(error) => {
            tracing::error!(%error, "TLS cannot be set up: nothing is delivered to https");
            None
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<StatusCode, Problem> {
    let away =
        |error: hyper::Error| Problem::Away(format!("The endpoint did not answer: {error}."));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(away)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    // What the endpoint says beside its status is of no interest.
    connection.abort();
    Ok(answer.map_err(away)?.status())
}

fn judge(status: StatusCode) -> Result<(), Problem> {
    let said = format!("The endpoint has answered {status}");
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(Problem::Refused(format!(
            "{said}; redirects are not followed."
        ))),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(Problem::Away(format!("{said}.")))
        }
        status if status.is_server_error() => Err(Problem::Away(format!("{said}."))),
        _ => Err(Problem::Refused(format!("{said}."))),
    }
}
