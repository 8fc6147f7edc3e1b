//! TLS 1.3 only, both sides with the identity key, compared byte for byte. Names, dates (players' clocks are wrong) and
//! chains of certificates are ignored.

use ed25519_dalek::{SigningKey, VerifyingKey, pkcs8::EncodePrivateKey};
use fyteclub_proto::{id::PeerId, version::PEER_ALPN};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::{fmt, sync::Arc};

/// The name of every acceptor; never sent (SNI is off). `.invalid` is reserved by RFC 2606.
pub const SERVER_NAME: &str = "fyteclub.invalid";

/// The DER header of an Ed25519 SubjectPublicKeyInfo before the 32 key bytes (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS from the identity key: {0}")]
pub struct TlsError(String);

/// The identity for TLS: a self-signed certificate over the identity key.
pub struct Certificate {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Certificate {
    /// # Errors None that depends on input; only incompatible crate versions.
    pub fn new(key: &SigningKey) -> Result<Self, TlsError> {
        let pkcs8 = key.to_pkcs8_der().map_err(|error| TlsError(error.to_string()))?;
        let key = PrivatePkcs8KeyDer::from(pkcs8.as_bytes().to_vec());
        let make = || -> Result<CertificateDer<'static>, rcgen::Error> {
            let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519)?;
            let mut params = rcgen::CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
            params.distinguished_name = rcgen::DistinguishedName::new();
            // Fixed dates, so that the certificate does not tell when it was made.
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2120, 1, 1);
            Ok(params.self_signed(&pair)?.der().clone())
        };
        let certificate = make().map_err(|error| TlsError(error.to_string()))?;
        Ok(Self { certificate, key, provider: Arc::new(rustls::crypto::ring::default_provider()) })
    }

    /// For dialling exactly this peer.
    ///
    /// # Errors As for [`Certificate::new`].
    pub fn client(&self, expected: PeerId) -> Result<QuicClientConfig, TlsError> {
        let error = |error: Error| TlsError(error.to_string());
        let pin = Arc::new(Pin { provider: self.provider.clone(), expected: Some(expected) });
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(error)?
            .dangerous()
            .with_custom_certificate_verifier(pin)
            .with_client_auth_cert(vec![self.certificate.clone()], PrivateKeyDer::Pkcs8(self.key.clone_key()))
            .map_err(error)?;
        config.alpn_protocols = vec![PEER_ALPN.to_vec()];
        config.enable_sni = false;
        // Every link proves the keys again.
        config.resumption = rustls::client::Resumption::disabled();
        QuicClientConfig::try_from(config).map_err(|error| TlsError(error.to_string()))
    }

    /// For accepting any proven key; the session decides whether it is admitted.
    ///
    /// # Errors As for [`Certificate::new`].
    pub fn server(&self) -> Result<QuicServerConfig, TlsError> {
        let error = |error: Error| TlsError(error.to_string());
        let pin = Arc::new(Pin { provider: self.provider.clone(), expected: None });
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(error)?
            .with_client_cert_verifier(pin)
            .with_single_cert(vec![self.certificate.clone()], PrivateKeyDer::Pkcs8(self.key.clone_key()))
            .map_err(error)?;
        config.alpn_protocols = vec![PEER_ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(|error| TlsError(error.to_string()))
    }
}

/// The key that the other side of a connection proved.
pub fn peer_of(connection: &quinn::Connection) -> Option<PeerId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    key_of(chain.first()?).ok()
}

fn key_of(certificate: &CertificateDer<'_>) -> Result<PeerId, Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let parsed = ParsedCertificate::try_from(certificate)?;
    let spki = parsed.subject_public_key_info();
    let key: [u8; 32] =
        spki.strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok()).ok_or_else(bad)?;
    match VerifyingKey::from_bytes(&key) {
        Ok(verifying) if !verifying.is_weak() => Ok(PeerId::from_bytes(key)),
        Ok(_) | Err(_) => Err(bad()),
    }
}

/// Verifies that the other side has the key it shows, and, for a dialler, that it is the expected one.
struct Pin {
    provider: Arc<CryptoProvider>,
    expected: Option<PeerId>,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({:?})", self.expected)
    }
}

impl Pin {
    fn check(&self, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        if !chain.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        let key = key_of(leaf)?;
        match self.expected {
            Some(expected) if expected != key => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }
}

/// The same answers to both sides' questions.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(PeerIncompatible::Tls12NotOffered.into())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.signature(message, certificate, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ED25519]
        }
    };
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(leaf, chain).map(|()| ServerCertVerified::assertion())
    }

    verify_signatures!();
}

impl ClientCertVerifier for Pin {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(leaf, chain).map(|()| ClientCertVerified::assertion())
    }

    verify_signatures!();
}
