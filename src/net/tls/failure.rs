//! What a TLS connection that failed tells its user: what happened, and what is probably to be done about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// How far the connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Handshake,
    Open,
}

/// The error of a connection on which rustls failed.
pub(super) fn describe(error: &Error, stage: Stage, is_client: bool) -> io::Error {
    let what = match stage {
        Stage::Handshake => "the TLS handshake failed",
        Stage::Open => "the TLS connection failed",
    };
    let peer = if is_client { "server" } else { "client" };
    let text = match error {
        Error::AlertReceived(alert) => {
            let name = alert.as_str().unwrap_or("unknown alert");
            format!("{what}: the {peer} sent the alert {name}{}", advice_on_alert(*alert, is_client))
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) if stage == Stage::Handshake => {
            format!("{what}: what the {peer} sent is not TLS ({error}); perhaps it speaks plaintext")
        }
        Error::NoCertificatesPresented => {
            format!("{what}: the client presented no certificate, and this server requires one")
        }
        Error::NoApplicationProtocol => {
            format!("{what}: the client offers no application protocol that gRPC has (ALPN \"h2\")")
        }
        Error::InvalidCertificate(certificate) => {
            let advice = advice_on_certificate(certificate, is_client);
            format!("{what}: the {peer}'s certificate is not accepted: {certificate}{advice}")
        }
        other => format!("{what}: {other}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// The error of a handshake that settled on no application protocol (RFC 7301).
pub(super) fn without_alpn(is_client: bool) -> io::Error {
    let text = if is_client {
        "the TLS handshake failed: the server chose no application protocol, and gRPC needs \"h2\" by ALPN; perhaps \
         it, or a proxy before it, does not speak HTTP/2"
    } else {
        "the TLS handshake failed: the client offered no application protocol, and gRPC needs \"h2\" by ALPN"
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn advice_on_alert(alert: AlertDescription, is_client: bool) -> &'static str {
    match (alert, is_client) {
        (AlertDescription::NoApplicationProtocol, true) => {
            ": it does not speak HTTP/2 (ALPN \"h2\") on this port"
        }
        (AlertDescription::CertificateRequired, true) => {
            ": it requires a client certificate, which ClientTls::identity sets"
        }
        (AlertDescription::UnknownCA, true) => {
            ": it does not trust the authority that issued this client's certificate"
        }
        (AlertDescription::UnknownCA, false) => {
            ": it does not trust the authority that issued this server's certificate"
        }
        (AlertDescription::CertificateExpired, _) => ": this side's certificate has expired",
        (AlertDescription::CertificateRevoked, _) => ": this side's certificate was revoked",
        (AlertDescription::BadCertificate, false) => {
            ": it does not accept this server's certificate, perhaps because of its name"
        }
        (AlertDescription::ProtocolVersion, _) => {
            ": it speaks none of the TLS versions that this side allows"
        }
        (AlertDescription::UnrecognisedName, true) => ": it has no certificate for this server name",
        _ => "",
    }
}

fn advice_on_certificate(error: &CertificateError, is_client: bool) -> &'static str {
    match (error, is_client) {
        (CertificateError::UnknownIssuer, true) => {
            "; if the authority that issued it is to be trusted, add its certificate by ClientTls::roots"
        }
        (CertificateError::UnknownIssuer, false) => {
            "; if the authority that issued it is to be trusted, add its certificate to the server's client roots"
        }
        (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }, true) => {
            "; ClientTls::server_name sets another name to expect"
        }
        _ => "",
    }
}
