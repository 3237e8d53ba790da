//! A connection to an address that the guard lets through, and TLS on it.
//!
//! A name is resolved here, every address held against the guard, and the one that was checked is connected to, so that a
//! name cannot point elsewhere in between.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Failure;
use super::guard::Guard;

/// Of the addresses that a name has, so many are tried, each so long.
const ADDRESSES_MAX: usize = 4;
pub(crate) const CONNECT: Duration = Duration::from_secs(4);

/// Connects to the first address of `host` that the guard lets through and that answers. `tls` says whether what is sent
/// will be encrypted.
pub(crate) async fn reach(host: &str, port: u16, guard: Guard, tls: bool) -> Result<TcpStream, Failure> {
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| Failure::NotWritten(format!("the name cannot be resolved ({})", error.kind())))?;
    let mut refusal = None;
    let addresses: Vec<SocketAddr> = found
        .filter(|address| match guard.refusal(address.ip(), tls) {
            None => true,
            Some(why) => {
                refusal = Some(why);
                false
            }
        })
        .take(ADDRESSES_MAX)
        .collect();
    let mut last = match (addresses.is_empty(), refusal) {
        (true, Some(why)) => return Err(Failure::Refused(why.into())),
        (_, _) => "the name has no address".to_owned(),
    };
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = format!("cannot connect to {address} ({})", error.kind()),
            Err(_) => last = format!("no connection to {address} within {} s", CONNECT.as_secs()),
        }
    }
    Err(Failure::NotWritten(last))
}

/// TLS with who answers to `host`, by a certificate that is trusted.
pub(crate) async fn handshake(
    tls: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::Refused("the host is not a name that a certificate can have".into()))?;
    tls.connect(name, stream).await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                Failure::Refused(format!("its certificate is not trusted ({why:?})"))
            }
            Some(_) | None => Failure::NotWritten(format!("no TLS connection ({})", error.kind())),
        }
    })
}
