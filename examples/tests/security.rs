//! Runs the examples about security and reads what they print.

mod program;

use program::{Program, run};

/// What an example prints, apart from where its servers listen.
fn lines(path: &str, arguments: &[&str]) -> Vec<String> {
    let output = run(path, arguments);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    output.stdout.lines().filter(|line| !line.starts_with("listening on ")).map(str::to_owned).collect()
}

#[test]
fn encryption_calls_over_tls_and_mutual_tls_and_trusts_no_strangers() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_encryption"), &[]),
        [
            "TLS: hello world (said somebody over TLS 1.3)",
            "mutual TLS: hello world (said client.example over TLS 1.3)",
            "mutual TLS without a certificate: UNAVAILABLE",
            "TLS with a server that is not trusted: UNAVAILABLE",
        ]
    );
}

const AUTHENTICATION: [&str; 5] = [
    "UnaryEcho: hello world",
    "BidirectionalStreamingEcho: hello world",
    "with another token: status UNAUTHENTICATED: invalid token",
    "without a token: status INVALID_ARGUMENT: missing metadata",
    "in plaintext: invalid credentials: the channel's call credentials: they require privacy and integrity, and the channel is plaintext; \
     use tls(..), or local credentials on a Unix socket",
];

#[test]
fn authentication_lets_in_who_has_the_right_token() {
    let mut lines = lines(env!("CARGO_BIN_EXE_authentication"), &[]);
    assert_eq!(lines.pop().as_deref(), Some("server stopped"));
    assert_eq!(lines, AUTHENTICATION);
}

#[test]
fn a_client_and_a_server_that_run_apart_have_certificates_that_fit() {
    let server = Program::server(env!("CARGO_BIN_EXE_authentication"), &["--addr", "127.0.0.1:0"]);
    let client = ["client", "--addr", server.address()];
    assert_eq!(lines(env!("CARGO_BIN_EXE_authentication"), &client), AUTHENTICATION);
}
