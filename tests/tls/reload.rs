//! New certificates without a restart, and credentials that cannot be read.

use std::path::PathBuf;
use std::time::Duration;

use lariat::credentials::{ClientTls, Identity, Provider, RevocationLists, RootCertificates, ServerTls};

use super::certificates::{Authority, Certified};
use super::who::{am, connect, failure, serve};

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lariat-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a file in the place of another, as those who replace certificates do.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let new = self.path("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, self.path(name)).unwrap();
        self.path(name)
    }

    fn write_identity(&self, certified: &Certified) {
        self.write("chain.pem", &certified.chain);
        self.write("key.pem", &certified.key);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_server_takes_up_a_new_certificate_from_its_files() {
    let folder = Folder::new("identity");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    folder.write_identity(&old.issue(&["localhost"]));
    let (chain, key) = (folder.path("chain.pem"), folder.path("key.pem"));
    let provider = Provider::<Identity>::watch_every(Duration::ZERO, chain, key).unwrap();
    let server = serve(ServerTls::new(provider.clone()));
    let early = connect(&server, ClientTls::new().roots(old.roots()));
    am(&early).unwrap();
    // A key without its certificate is an error, and the former pair goes on.
    let next = new.issue(&["localhost"]);
    folder.write("key.pem", &next.key);
    am(&connect(&server, ClientTls::new().roots(old.roots()))).unwrap();
    let error = provider.last_error().unwrap().to_string();
    assert!(error.contains("key.pem") && error.contains("is not that of the first certificate"), "{error}");
    folder.write("chain.pem", &next.chain);
    am(&connect(&server, ClientTls::new().roots(new.roots()))).unwrap();
    assert_eq!(provider.last_error(), None);
    failure(&connect(&server, ClientTls::new().roots(old.roots())));
    // Connections that exist go on.
    am(&early).unwrap();
}

#[test]
fn a_server_takes_up_new_client_roots_and_revocation_lists() {
    let folder = Folder::new("roots");
    let authority = Authority::new("authority");
    let clients = Authority::new("clients");
    let roots = folder.write("roots.pem", &Authority::new("others").pem);
    let lists = folder.write("lists.pem", &clients.revoke(&[]));
    let server = serve(
        ServerTls::new(authority.issue(&["localhost"]).identity())
            .require_client_certificates(
                Provider::<RootCertificates>::watch_every(Duration::ZERO, &roots).unwrap(),
            )
            .revocation_lists(Provider::<RevocationLists>::watch_every(Duration::ZERO, &lists).unwrap()),
    );
    let client = clients.issue(&["client"]);
    let tls = ClientTls::new().roots(authority.roots()).identity(client.identity());
    failure(&connect(&server, tls.clone()));
    folder.write("roots.pem", &clients.pem);
    let credentials = lariat::credentials::ChannelCredentials::tls(tls);
    am(&super::who::connect_with(&server, credentials.clone())).unwrap();
    // A session from before the revocation does not help.
    folder.write("lists.pem", &clients.revoke(&[&client]));
    let text = failure(&super::who::connect_with(&server, credentials));
    assert!(text.contains("revoked"), "{text}");
}

#[test]
fn a_client_takes_up_new_roots_and_a_new_certificate() {
    let folder = Folder::new("client");
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    folder.write_identity(&Authority::new("others").issue(&["stranger"]));
    let roots = folder.write("roots.pem", &Authority::new("others").pem);
    let server = serve(
        ServerTls::new(authority.issue(&["localhost"]).identity())
            .require_client_certificates(clients.roots()),
    );
    let (chain, key) = (folder.path("chain.pem"), folder.path("key.pem"));
    let tls = ClientTls::new()
        .roots(Provider::<RootCertificates>::watch_every(Duration::ZERO, roots).unwrap())
        .identity(Provider::<Identity>::watch_every(Duration::ZERO, chain, key).unwrap());
    let text = failure(&connect(&server, tls.clone()));
    assert!(text.contains("UnknownIssuer"), "{text}");
    folder.write("roots.pem", &authority.pem);
    let text = failure(&connect(&server, tls.clone()));
    assert!(text.contains("the server sent the alert"), "{text}");
    folder.write_identity(&clients.issue(&["client"]));
    am(&connect(&server, tls)).unwrap();
}

#[test]
fn what_cannot_be_read_is_named_with_what_was_found_and_what_would_be_right() {
    let folder = Folder::new("errors");
    let authority = Authority::new("authority");
    let certified = authority.issue(&["localhost"]);
    let other = authority.issue(&["localhost"]);
    let chain = folder.write("chain.pem", &certified.chain);
    let key = folder.write("key.pem", &certified.key);
    let other = folder.write("other.pem", &other.key);
    let empty = folder.write("empty.pem", "");
    let text = folder.write("text.pem", "no PEM");
    let broken = folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
    let nonsense =
        folder.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = folder.write("encrypted.pem", encrypted);
    let missing = folder.path("missing.pem");
    for (chain, key, parts) in [
        (&missing, &key, ["missing.pem", "No such file", "PEM file"]),
        (&empty, &key, ["empty.pem", "it is empty", "BEGIN CERTIFICATE"]),
        (&text, &key, ["text.pem", "no PEM section", "BEGIN CERTIFICATE"]),
        (&broken, &key, ["broken.pem", "not valid PEM", "BEGIN CERTIFICATE"]),
        (&nonsense, &key, ["nonsense.pem", "cannot be read", "X.509"]),
        (&key, &key, ["key.pem", "but PRIVATE KEY", "BEGIN CERTIFICATE"]),
        (&chain, &chain, ["chain.pem", "but CERTIFICATE", "BEGIN PRIVATE KEY"]),
        (
            &chain,
            &other,
            ["other.pem", "not that of the first certificate in", "the key that the certificate"],
        ),
        (&chain, &encrypted, ["encrypted.pem", "is encrypted", "openssl pkcs8"]),
    ] {
        let error = Identity::from_pem_files(chain, key).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
    let error = RootCertificates::from_pem_file(&nonsense).unwrap_err().to_string();
    assert!(error.contains("certificate number 1"), "{error}");
    let error = RevocationLists::from_pem_file(&chain).unwrap_err().to_string();
    assert!(error.contains("but CERTIFICATE") && error.contains("BEGIN X509 CRL"), "{error}");
}
