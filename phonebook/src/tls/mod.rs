//! The certificate: read from two PEM files, and read again when they change.
//!
//! A broken new pair is logged, and the old one stays. TLS 1.3 only: clients are daemons with their own TLS.

use crate::config::TlsFiles;
use fyteclub_files::{regular, trouble::explain};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

/// Period of checks of the files' dates.
const LOOK: Duration = Duration::from_secs(30);

/// Why a certificate is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    #[error("{}", explain(path, source))]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} cannot be read as PEM: {source}", path.display())]
    NotPem { path: PathBuf, source: pem::Error },
    #[error("{} has no certificate in it", path.display())]
    NoCertificate { path: PathBuf },
    #[error("`tls_cert` and `tls_key` do not belong together, or are of a kind that is not served: {0}")]
    Mismatch(rustls::Error),
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// Modification times of certificate and key.
type Dates = [Option<SystemTime>; 2];

/// The current pair.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    pub(crate) fn load(files: &TlsFiles) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(Arc::new(read(files, &provider)?));
        Ok(Arc::new(Self { files: files.clone(), provider, current }))
    }

    /// HTTP/1.1 only; actix adds its ALPN.
    pub(crate) fn server(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        Ok(ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(resolver))
    }

    /// New connections get the new pair.
    fn reload(&self) -> Result<(), TlsError> {
        let new = Arc::new(read(&self.files, &self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Reloads when the files' dates change, and when notified. Runs until dropped.
    pub(crate) async fn watch(self: Arc<Self>, told: Arc<Notify>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = self.dates();
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                () = told.notified() => true,
            };
            match self.look(&mut known, asked) {
                None => {}
                Some(Ok(())) => tracing::info!("the certificate was reloaded"),
                Some(Err(error)) => {
                    tracing::error!(%error, "the new certificate is refused, and the old one stays");
                }
            }
        }
    }

    /// `None` if there is nothing to reload.
    fn look(&self, known: &mut Dates, asked: bool) -> Option<Result<(), TlsError>> {
        let dates = self.dates();
        if !asked && dates == *known {
            return None;
        }
        *known = dates;
        Some(self.reload())
    }

    fn dates(&self) -> Dates {
        let date = |path| fs::metadata(path).and_then(|file| file.modified()).ok();
        [date(&self.files.cert), date(&self.files.key)]
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let content = |path: &Path| {
        regular::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
    };
    let not_pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::NotPem { path, source }
    };
    let (cert, key) = (content(&files.cert)?, content(&files.key)?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
    let chain = chain.map_err(not_pem(&files.cert))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: files.cert.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(not_pem(&files.key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Mismatch)
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn write(files: &TlsFiles, seconds: u64) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        for (path, text) in [(&files.cert, made.cert.pem()), (&files.key, made.signing_key.serialize_pem())] {
            fs::write(path, text).unwrap();
            date(path, seconds);
        }
    }

    fn date(path: &PathBuf, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn changed_pair_is_read_and_broken_pair_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: directory.path().join("cert"), key: directory.path().join("key") };
        write(&files, 1000);
        let certificate = Certificate::load(&files).unwrap();
        let served = || certificate.current.read().unwrap().cert[0].clone();
        let (first, mut known) = (served(), certificate.dates());
        assert!(certificate.look(&mut known, false).is_none());
        assert!(certificate.look(&mut known, true).unwrap().is_ok());
        assert_eq!(served(), first);

        write(&files, 2000);
        assert!(certificate.look(&mut known, false).unwrap().is_ok());
        let second = served();
        assert_ne!(second, first);
        assert!(certificate.look(&mut known, false).is_none());

        fs::write(&files.key, "nothing").unwrap();
        date(&files.key, 3000);
        assert!(certificate.look(&mut known, false).unwrap().is_err());
        assert!(certificate.look(&mut known, false).is_none(), "told once");
        assert_eq!(served(), second);
        fs::remove_file(&files.cert).unwrap();
        assert!(certificate.look(&mut known, false).unwrap().is_err());
        assert_eq!(served(), second);
    }

    /// Opened plainly, a pipe would keep the start waiting for its other end.
    #[cfg(unix)]
    #[test]
    fn pipe_in_the_place_of_a_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: directory.path().join("cert"), key: directory.path().join("key") };
        write(&files, 1000);
        fs::remove_file(&files.key).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&files.key).status().unwrap().success());
        let told = Certificate::load(&files).unwrap_err().to_string();
        assert!(told.contains("key is a named pipe, and a file is needed there"), "{told}");
    }
}
