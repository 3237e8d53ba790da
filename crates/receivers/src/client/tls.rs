//! TLS by rustls with ring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Why no TLS connection can ever be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The machine trusts no one: install its `ca-certificates`, or name a `ca_file`.
    #[error("this machine has no root certificates: install ca-certificates, or set ca_file")]
    NoRoots,
    #[error("cannot read certificates from {}", path.display())]
    CaFile { path: PathBuf, source: pem::Error },
    #[error("{} holds no certificate in PEM", path.display())]
    Empty { path: PathBuf },
    #[error("a certificate in {} is not valid", path.display())]
    Invalid { path: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// TLS for HTTP. Trusts the certificates in `ca_file` and nothing else; without one, what the machine trusts.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsError> {
    connector_for(ca_file, &[b"http/1.1"])
}

/// TLS for another protocol: `alpn` are the names by which it may be agreed on, none where it has none.
pub(crate) fn connector_for(ca_file: Option<&Path>, alpn: &[&[u8]]) -> Result<TlsConnector, TlsError> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => of_machine()?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |source| TlsError::CaFile { path: path.into(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        roots.add(certificate).map_err(|source| TlsError::Invalid { path: path.into(), source })?;
    }
    if roots.is_empty() { Err(TlsError::Empty { path: path.into() }) } else { Ok(roots) }
}

fn of_machine() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A machine's store may hold certificates that rustls does not read: those are left out.
    let (_, _) = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}
