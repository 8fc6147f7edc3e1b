//! Checks before serving: listeners and certificate.

use crate::{
    config::{Config, Operator},
    operator,
    tls::{Certificate, TlsError},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

/// Why a phone book does not start: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error(
        "`listen` is {address}, which cannot be listened on; choose another address or port, or stop what uses it"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "`listen` is {0}, and without TLS anybody on the network path can read the traffic; \
         set `tls_cert` and `tls_key`, or let `listen` be 127.0.0.1:{port} behind a proxy that has TLS, \
         or say `plain_http = true` (--plain-http)", port = .0.port()
    )]
    Plain(SocketAddr),
    #[error(
        "`operator` is {address}, which cannot be listened on; choose another address or port, or set it to off"
    )]
    Operator { address: SocketAddr, source: io::Error },
    #[error(
        "`operator` is {0}, and the operator's page has no password; \
         choose a port of 127.0.0.1, or say `operator_anywhere = true`"
    )]
    OperatorAnywhere(SocketAddr),
    #[error(
        "`udp_listen` is {address}, which cannot be listened on; choose another address or port, or stop what uses it"
    )]
    Udp { address: SocketAddr, source: io::Error },
    #[error("a listener has no address: {0}")]
    Nowhere(io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Listen { source, .. }
            | StartError::Udp { source, .. }
            | StartError::Operator { source, .. } => source.kind(),
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

pub(crate) fn certificate(config: &Config) -> Result<Option<Arc<Certificate>>, StartError> {
    Ok(config.tls.as_ref().map(Certificate::load).transpose()?)
}

/// Plain HTTP is allowed on loopback, on request, and in compatibility mode, which is for a private network.
pub(crate) fn public(config: &Config) -> Result<TcpListener, StartError> {
    let address = config.listen;
    let allowed =
        config.tls.is_some() || config.plain_http || config.compat || operator::is_own(address.ip());
    if !allowed {
        return Err(StartError::Plain(address));
    }
    TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })
}

/// The bound address, with the real port for port 0.
pub(crate) fn bound(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(StartError::Nowhere)
}

pub(crate) fn operator(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let address = match config.operator {
        Operator::Off => return Ok(None),
        Operator::IfFree(address) | Operator::At(address) => address,
    };
    if !config.operator_anywhere && !operator::is_own(address.ip()) {
        return Err(StartError::OperatorAnywhere(address));
    }
    match (TcpListener::bind(address), config.operator) {
        (Ok(listener), _) => Ok(Some(listener)),
        (Err(error), Operator::IfFree(_)) => {
            let port = address.port();
            tracing::warn!(port, %error, "no operator's page: its port is taken; `operator` chooses another");
            Ok(None)
        }
        (Err(source), _) => Err(StartError::Operator { address, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_refused_for_its_reason() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = bound(&taken).unwrap();
        let at = |listen| Config { listen, ..Config::default() };
        let refused = public(&at(address)).unwrap_err();
        assert!(matches!(refused, StartError::Listen { address: told, .. } if told == address));
        assert_eq!(io::Error::from(refused).kind(), io::ErrorKind::AddrInUse);
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let refused = public(&at(everywhere)).unwrap_err();
        assert!(matches!(refused, StartError::Plain(told) if told == everywhere));
        assert_eq!(io::Error::from(refused).kind(), io::ErrorKind::InvalidInput);
        for allowed in [
            Config { plain_http: true, ..at(everywhere) },
            Config { compat: true, ..at(everywhere) },
            at(([127, 0, 0, 1], 0).into()),
        ] {
            assert_ne!(bound(&public(&allowed).unwrap()).unwrap().port(), 0);
        }
    }

    #[test]
    fn operators_listener_stays_on_loopback_by_default() {
        let everywhere = Operator::At(([0, 0, 0, 0], 0).into());
        let config = Config { operator: everywhere, ..Config::default() };
        assert!(matches!(operator(&config), Err(StartError::OperatorAnywhere(_))));
        assert!(operator(&Config { operator_anywhere: true, ..config }).unwrap().is_some());
        assert!(operator(&Config::default()).unwrap().is_none());
    }
}
