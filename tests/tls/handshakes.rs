//! Handshakes that succeed, and what the server knows by them.

use std::sync::Arc;

use bytes::Bytes;
use lariat::credentials::{ChannelCredentials, ClientTls, Identity, Provider, ServerTls, TlsVersion};
use lariat::{Channel, Code, Request, Wait};

use super::certificates::Authority;
use super::who::{am, assert_facts, connect, connect_with, echo, failure, serve, target};

#[test]
fn both_sides_agree_on_tls_1_3_and_h2_by_default() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost"]).identity()));
    let facts = am(&connect(&server, ClientTls::new().roots(authority.roots()))).unwrap();
    assert_facts(
        &facts,
        &[
            "level: privacy and integrity",
            "version: TLS 1.3",
            "alpn: h2",
            "resumed: false",
            "certificates: 0",
        ],
    );
}

#[test]
fn a_call_may_have_another_authority_that_the_certificate_is_for() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost", "*.lariat.example"]).identity()));
    let client = echo(&server, ClientTls::new().roots(authority.roots()));
    let call = |name: &str| client.request(Request::new(Bytes::new()).with_authority(name)).wait();
    for name in ["other.lariat.example", "other.lariat.example:443", "LOCALHOST"] {
        let response = call(name).unwrap();
        assert_eq!(response.peer().unwrap().tls().unwrap().dns_names(), ["localhost", "*.lariat.example"]);
    }
    for name in ["other.test", "a.other.lariat.example", "127.0.0.1"] {
        let status = call(name).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(
            status.message().ends_with(&format!("is not for the authority of the call, {name}")),
            "{status}"
        );
    }
}

#[test]
fn either_side_may_insist_on_tls_1_2_with_the_ciphers_of_http_2() {
    let authority = Authority::new("authority");
    let identity = authority.issue(&["localhost"]).identity();
    let roots = authority.roots();
    let old = serve(ServerTls::new(identity.clone()).max_version(TlsVersion::Tls12));
    let new = serve(ServerTls::new(identity));
    for (server, tls) in [
        (&old, ClientTls::new().roots(roots.clone())),
        (&new, ClientTls::new().roots(roots.clone()).max_version(TlsVersion::Tls12)),
    ] {
        let facts = am(&connect(server, tls)).unwrap();
        assert_facts(&facts, &["version: TLS 1.2", "alpn: h2"]);
        let suite = facts.lines().find_map(|line| line.strip_prefix("suite: ")).unwrap();
        // RFC 9113 appendix A prohibits whatever has no ephemeral keys or no authenticated encryption.
        assert!(suite.starts_with("TLS_ECDHE_"), "{suite}");
        assert!(suite.contains("_GCM_") || suite.contains("_CHACHA20_POLY1305_"), "{suite}");
    }
}

#[test]
fn a_client_certificate_and_its_names_are_seen_by_handlers() {
    let authority = Authority::new("authority");
    let clients = Authority::new("clients");
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity());
    let server = serve(tls.require_client_certificates(clients.roots()));
    let client = clients.issue_with_uri("worker.example", "spiffe://example/worker");
    let tls = ClientTls::new().roots(authority.roots()).identity(client.identity());
    assert_facts(
        &am(&connect(&server, tls)).unwrap(),
        &[
            "certificates: 1",
            "common name: Some(\"worker.example\")",
            "dns: [\"worker.example\"]",
            "uris: [\"spiffe://example/worker\"]",
            "spiffe: Some(\"spiffe://example/worker\")",
        ],
    );
}

#[test]
fn an_optional_client_certificate_may_be_missing_and_must_be_good_if_it_is_there() {
    let authority = Authority::new("authority");
    let clients = Authority::new("clients");
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity());
    let server = serve(tls.accept_client_certificates(clients.roots()));
    let tls = ClientTls::new().roots(authority.roots());
    assert_facts(&am(&connect(&server, tls.clone())).unwrap(), &["certificates: 0", "dns: []"]);
    let known = tls.clone().identity(clients.issue(&["known"]).identity());
    assert_facts(&am(&connect(&server, known)).unwrap(), &["certificates: 1", "dns: [\"known\"]"]);
    let stranger = tls.identity(Authority::new("strangers").issue(&["stranger"]).identity());
    let text = failure(&connect(&server, stranger));
    assert!(text.contains("the server sent the alert"), "{text}");
}

#[test]
fn a_later_connection_resumes_the_session_of_an_earlier_one() {
    let authority = Authority::new("authority");
    let clients = Authority::new("clients");
    let identity = authority.issue(&["localhost"]).identity();
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let server = serve(ServerTls::new(identity.clone()).require_client_certificates(clients.roots()));
        let tls = ClientTls::new().roots(authority.roots()).max_version(version);
        let tls = tls.identity(clients.issue(&["worker"]).identity());
        let credentials = ChannelCredentials::tls(tls);
        assert_facts(&am(&connect_with(&server, credentials.clone())).unwrap(), &["resumed: false"]);
        // The certificate is known from before.
        let facts = am(&connect_with(&server, credentials)).unwrap();
        assert_facts(&facts, &["resumed: true", "certificates: 1", "dns: [\"worker\"]"]);
    }
}

#[test]
fn either_side_may_turn_resumption_off() {
    let authority = Authority::new("authority");
    let identity = authority.issue(&["localhost"]).identity();
    for (server_resumes, client_resumes) in [(false, true), (true, false)] {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let server = serve(ServerTls::new(identity.clone()).resumption(server_resumes));
            let tls = ClientTls::new().roots(authority.roots()).max_version(version);
            let credentials = ChannelCredentials::tls(tls.resumption(client_resumes));
            for _ in 0..2 {
                assert_facts(&am(&connect_with(&server, credentials.clone())).unwrap(), &["resumed: false"]);
            }
        }
    }
}

#[test]
fn another_name_than_the_targets_may_be_expected() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["x.test.example.com"]).identity()));
    let tls = ClientTls::new().roots(authority.roots());
    am(&connect(&server, tls.clone().server_name("x.test.example.com"))).unwrap();
    // The channel's authority is expected, too; what the credentials say comes first.
    let builder = || Channel::builder(target(&server));
    am(&builder().authority("x.test.example.com:443").tls(tls.clone()).build().unwrap()).unwrap();
    let tls = tls.server_name("x.test.example.com");
    am(&builder().authority("other.example").tls(tls).build().unwrap()).unwrap();
}

#[test]
fn the_server_may_choose_its_certificate_by_the_name_asked_for() {
    let authority = Authority::new("authority");
    let one = authority.issue(&["one.example"]).identity();
    let other = authority.issue(&["other.example"]).identity();
    let server = serve(ServerTls::by_server_name(move |name| match name {
        Some("one.example") => Some(one.clone()),
        Some("other.example") => Some(other.clone()),
        _ => None,
    }));
    let tls = ClientTls::new().roots(authority.roots());
    for name in ["one.example", "other.example"] {
        am(&connect(&server, tls.clone().server_name(name))).unwrap();
    }
    let text = failure(&connect(&server, tls.server_name("third.example")));
    assert!(text.contains("the server sent the alert"), "{text}");
}

#[test]
fn a_custom_verifier_sees_the_chain_and_decides() {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["elsewhere.example"]).identity()));
    let tls = |verdict: Result<(), String>| {
        ClientTls::new().dangerous_verifier(move |presented| {
            assert_eq!((presented.chain().count(), presented.server_name()), (1, Some("localhost")));
            verdict.clone()
        })
    };
    am(&connect(&server, tls(Ok(())))).unwrap();
    let text = failure(&connect(&server, tls(Err("not pinned".to_owned()))));
    assert!(text.contains("the custom verifier refused it: not pinned"), "{text}");
}

#[test]
fn a_custom_verifier_of_clients_decides() {
    let authority = Authority::new("authority");
    let tls = ServerTls::new(authority.issue(&["localhost"]).identity());
    let server = serve(tls.dangerous_client_verifier(|presented| match presented.chain().count() {
        1 => Ok(()),
        count => Err(format!("{count} certificates")),
    }));
    let tls = ClientTls::new().roots(authority.roots());
    let own = Authority::new("anybody").issue(&["anybody"]).identity();
    assert_facts(&am(&connect(&server, tls.identity(own))).unwrap(), &["dns: [\"anybody\"]"]);
}

#[test]
fn a_function_may_bring_a_new_certificate() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let identities = [&old, &new].map(|authority| Arc::new(authority.issue(&["localhost"]).identity()));
    let current = Arc::new(std::sync::Mutex::new(Arc::clone(&identities[0])));
    let provider = {
        let current = Arc::clone(&current);
        Provider::<Identity>::from_fn(move || Arc::clone(&current.lock().unwrap()))
    };
    let server = serve(ServerTls::new(provider));
    am(&connect(&server, ClientTls::new().roots(old.roots()))).unwrap();
    *current.lock().unwrap() = Arc::clone(&identities[1]);
    am(&connect(&server, ClientTls::new().roots(new.roots()))).unwrap();
    failure(&connect(&server, ClientTls::new().roots(old.roots())));
}
