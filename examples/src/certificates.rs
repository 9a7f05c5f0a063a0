//! The certificates of the examples that use TLS. `certificates/make.sh` has made them: one authority for the server,
//! whose certificate is for the name `echo.example`, and another one for clients.
//!
//! They are part of the programs, so that a server and a client that run apart from each other fit. A real server
//! would read its own from files, by `Identity::from_pem_files` or, if they are to be replaced while it runs, by
//! `Provider::watch`.

use lariat::credentials::{Identity, RootCertificates};

/// The name that the server's certificate is for, which is not the one it is called by.
pub const SERVER_NAME: &str = "echo.example";

/// The server's certificate and key.
pub fn server() -> Identity {
    let [chain, key] =
        [include_str!("../certificates/server.pem"), include_str!("../certificates/server.key")];
    Identity::from_pem(chain, key).expect("a certificate and its key")
}

/// The client's certificate and key.
pub fn client() -> Identity {
    let [chain, key] =
        [include_str!("../certificates/client.pem"), include_str!("../certificates/client.key")];
    Identity::from_pem(chain, key).expect("a certificate and its key")
}

/// The authority that has issued the server's certificate.
pub fn server_authority() -> RootCertificates {
    RootCertificates::from_pem(include_str!("../certificates/ca.pem")).expect("a certificate")
}

/// The authority that has issued the client's certificate.
pub fn client_authority() -> RootCertificates {
    RootCertificates::from_pem(include_str!("../certificates/client_ca.pem")).expect("a certificate")
}
