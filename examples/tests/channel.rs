//! Runs the examples about channels and servers and reads what they print.

mod program;

use program::{Program, run};

/// What an example prints, apart from where its servers listen.
fn lines(path: &str) -> Vec<String> {
    let output = run(path, &[]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    output.stdout.lines().filter(|line| !line.contains("listening on ")).map(str::to_owned).collect()
}

#[test]
fn multiplex_calls_two_services_over_one_connection() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_multiplex")),
        [
            "greeting: Hello multiplex",
            "echo: this is examples/multiplex",
            "connections accepted: 1",
            "server stopped",
        ]
    );
}

#[test]
fn flow_control_holds_up_whoever_sends_to_a_side_that_does_not_read() {
    let lines = lines(env!("CARGO_BIN_EXE_flow_control"));
    let count = |line: &str| -> usize {
        line.split(' ').find_map(|word| word.parse().ok()).expect("a line with a number")
    };
    let (there, back) = (count(&lines[0]), count(&lines[3]));
    // A window of 256 KiB and 64 KiB on their way, in messages of 8 KiB, at least.
    assert!(there > 40 && back > 40, "{lines:?}");
    assert_eq!(
        lines,
        [
            format!("message {there} has to wait"),
            format!("client: has sent {there} messages"),
            format!("server: has read {there} messages"),
            format!("message {back} has to wait"),
            format!("server: has sent {back} messages"),
            format!("client: has read {back} messages"),
            "client: the stream has ended well".to_owned(),
            "server stopped".to_owned(),
        ]
    );
}

#[test]
fn graceful_stop_refuses_new_calls_and_lets_those_under_way_finish() {
    let mut lines = lines(env!("CARGO_BIN_EXE_graceful_stop"));
    lines.sort();
    assert_eq!(lines[0], "client: a new call is refused with UNAVAILABLE");
    assert_eq!(lines[2..], ["server: stopped gracefully"]);
    let counts =
        lines[1].strip_prefix("client: calls made: ").and_then(|rest| rest.split_once(", calls served: "));
    let (made, served) = counts.expect("both counts");
    assert_eq!(made, served);
    assert!(made.parse::<usize>().expect("a number") >= 5, "{made}");
}

#[test]
fn keepalive_ends_connections_that_are_idle_old_or_dead() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_keepalive")),
        [
            "a connection that nobody uses:",
            "echo: keepalive demo",
            "the channel is IDLE",
            "echo: keepalive demo",
            "connections made: 2",
            "an old connection:",
            "a stream that lasts longer: UNAVAILABLE",
            "connections ended: 1, max_age",
            "a client that has fallen silent:",
            "connections ended: 1, keepalive: the peer gave no sign of life in time",
        ]
    );
}

#[test]
fn unix_abstract_meets_at_a_name() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_unix_abstract")),
        ["echo: this is examples/unix_abstract", "server stopped"]
    );
}

#[test]
fn unix_abstract_runs_as_two_programs() {
    let name = format!("unix-abstract:lariat-examples-test-{}", std::process::id());
    let server = Program::server(env!("CARGO_BIN_EXE_unix_abstract"), &["--addr", &name]);
    assert_eq!(server.address(), name);
    let output = run(env!("CARGO_BIN_EXE_unix_abstract"), &["client", "--addr", &name]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "echo: this is examples/unix_abstract\n"));
}
