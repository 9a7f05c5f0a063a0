//! Certificates made for a test.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::atomic::{AtomicU64, Ordering};

use lariat::credentials::{Identity, RevocationLists, RootCertificates};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// An authority that issues certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Certified {
    pub(crate) chain: String,
    pub(crate) key: String,
    serial: u64,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Issues a certificate for these DNS names, the first being the common name, too.
    pub(crate) fn issue(&self, names: &[&str]) -> Certified {
        self.issue_with(names, |_| {})
    }

    /// One that has expired.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Certified {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    /// One with a URI, as SPIFFE has it.
    pub(crate) fn issue_with_uri(&self, name: &str, uri: &str) -> Certified {
        let uri = uri.try_into().expect("ASCII");
        self.issue_with(&[name], |params| params.subject_alt_names.push(SanType::URI(uri)))
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certified {
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("valid names");
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certified { chain: certificate.pem(), key: key.serialize_pem(), serial }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate")
    }

    pub(crate) fn roots(&self) -> RootCertificates {
        RootCertificates::from_pem(&self.pem).expect("a root")
    }

    /// A list that revokes these certificates.
    pub(crate) fn revoke(&self, revoked: &[&Certified]) -> String {
        let revoked = revoked.iter().map(|certified| RevokedCertParams {
            serial_number: SerialNumber::from(certified.serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }

    pub(crate) fn revocation_lists(&self, revoked: &[&Certified]) -> RevocationLists {
        RevocationLists::from_pem(self.revoke(revoked)).expect("a list")
    }
}

impl Certified {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("a certificate")
    }

    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key")
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.chain, &self.key).expect("an identity")
    }
}
