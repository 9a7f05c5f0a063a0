//! Runs the examples about calls and reads what they print.

mod program;

use program::{Program, run};

/// What an example prints between its first line and its last.
fn lines(path: &str) -> Vec<String> {
    let output = run(path, &[]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    let mut lines: Vec<String> = output.stdout.lines().map(str::to_owned).collect();
    let listens = lines.iter().position(|line| line.starts_with("listening on 127.0.0.1:"));
    lines.remove(listens.expect("a line that says where it listens"));
    assert_eq!(lines.pop().as_deref(), Some("server stopped"));
    lines
}

#[test]
fn metadata_travels_in_both_directions_in_all_kinds_of_calls() {
    let block = |kind: &str, messages: usize| {
        let mut lines =
            vec![format!("{kind}:"), "  headers: location MTV, the timestamp that was sent".to_owned()];
        lines.extend(vec!["  message: this is examples/metadata".to_owned(); messages]);
        lines.push("  trailers: the timestamp that was sent".to_owned());
        lines
    };
    let expected = [
        block("unary", 1),
        block("server streaming", 3),
        block("client streaming", 1),
        block("bidirectional streaming", 3),
    ];
    assert_eq!(lines(env!("CARGO_BIN_EXE_metadata")), expected.concat());
}

#[test]
fn a_client_and_a_server_run_as_two_programs() {
    let server =
        Program::server(env!("CARGO_BIN_EXE_metadata"), &["--addr", "127.0.0.1:0", "--threads", "1"]);
    let output = run(env!("CARGO_BIN_EXE_metadata"), &["client", "--addr", server.address()]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(output.stdout.starts_with("unary:\n  headers: location MTV"), "{}", output.stdout);
}

#[test]
fn metadata_interceptor_changes_what_handlers_and_clients_see() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_metadata_interceptor")),
        [
            "unary: hello world (key1 from metadata: value1)",
            "  seen by the interceptor, ended with the interceptor",
            "streamed: hello world (key1 from metadata: value1)",
            "streamed: hello world (key1 from metadata: value1)",
            "  seen by the interceptor, ended with the interceptor",
        ]
    );
}

#[test]
fn interceptor_logs_and_authenticates() {
    let mut lines = lines(env!("CARGO_BIN_EXE_interceptor"));
    // The log of the stream is printed on another thread than what the stream brought.
    lines[1..6].sort();
    assert_eq!(
        lines,
        [
            "log: /grpc.examples.echo.Echo/UnaryEcho: \"hello world\" -> \"hello world\"",
            "log: /grpc.examples.echo.Echo/BidirectionalStreamingEcho: 3 sent, 3 received, OK",
            "streamed: hello world",
            "streamed: hello world",
            "streamed: hello world",
            "unary: hello world",
            "log: /grpc.examples.echo.Echo/UnaryEcho: \"hello world\" -> status UNAUTHENTICATED: invalid token",
            "with another token: status UNAUTHENTICATED: invalid token",
        ]
    );
}

#[test]
fn deadlines_hold_across_servers() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_deadline")),
        [
            "1. a call that is answered at once: wanted OK, got OK",
            "2. a call that takes too long: wanted DEADLINE_EXCEEDED, got DEADLINE_EXCEEDED",
            "3. a call that is sent on once: wanted OK, got OK",
            "4. a call that is sent on twice: wanted DEADLINE_EXCEEDED, got DEADLINE_EXCEEDED",
            "5. a stream that is sent on once: wanted OK, got OK",
            "6. a stream that is sent on twice: wanted DEADLINE_EXCEEDED, got DEADLINE_EXCEEDED",
        ]
    );
}

#[test]
fn cancellation_is_seen_on_both_sides() {
    let mut lines = lines(env!("CARGO_BIN_EXE_cancellation"));
    let server = "server: the client has cancelled the conversation";
    let at = lines.iter().position(|line| line == server).expect("the server learns of it");
    lines.remove(at);
    assert_eq!(
        lines,
        [
            "client: hello",
            "client: world",
            "client: cancelling",
            "client: status CANCELLED: the call was cancelled by its cancellation token",
        ]
    );
}

#[test]
fn wait_for_ready_waits_for_a_server_that_comes_late() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_wait_for_ready")),
        [
            "a call that does not wait: UNAVAILABLE",
            "a call that waits, but not for long: DEADLINE_EXCEEDED",
            "a patient call, when the server has come: hi",
        ]
    );
}

#[test]
fn errors_carry_details() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_errors")),
        [
            "echo of \"hello\":",
            "  hello",
            "echo of \"\":",
            "  the request was wrong: request missing required field: message",
            "echo of \"hello\":",
            "  a limit was met: Request limit exceeded.",
            "  quota of message:hello: Limit one echo for each message",
        ]
    );
}

#[test]
fn retry_succeeds_at_the_fourth_attempt() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_retry")),
        [
            "server: request 1, attempts before it: 0, failed",
            "server: request 2, attempts before it: 1, failed",
            "server: request 3, attempts before it: 2, failed",
            "server: request 4, attempts before it: 3, succeeded",
            "client: Try and Success",
        ]
    );
}

#[test]
fn hedging_takes_the_first_answer_and_cancels_the_slow_attempt() {
    let mut lines = lines(env!("CARGO_BIN_EXE_hedging"));
    lines.sort();
    assert_eq!(lines, ["client: whoever is first, in time", "server: the slow attempt was cancelled"]);
}

#[test]
fn a_call_that_asks_for_gzip_is_compressed_in_both_directions_and_another_in_none() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_compression")),
        [
            "UnaryEcho called with message \"compress\", compressed",
            "UnaryEcho call returned \"compress\", compressed",
            "UnaryEcho called with message \"compress\", as it is",
            "UnaryEcho call returned \"compress\", as it is",
        ]
    );
}
