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

#[test]
fn load_balancing_stays_with_one_server_or_takes_turns() {
    let lines = lines(env!("CARGO_BIN_EXE_load_balancing"));
    let [pick_first, first, round_robin, a, b] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!([pick_first.as_str(), round_robin.as_str()], ["with pick_first:", "with round_robin:"]);
    assert!(first.starts_with("10 times hello (from "), "{first}");
    assert_eq!([a.as_str(), b.as_str()], ["5 times hello (from a)", "5 times hello (from b)"]);
}

#[test]
fn name_resolving_finds_one_server_by_its_address_and_by_a_name() {
    let lines = lines(env!("CARGO_BIN_EXE_name_resolving"));
    assert_eq!(lines[0], "by its address:");
    assert_eq!(lines[1..11], ["hello (from a)"; 10]);
    assert_eq!(lines[11], "by a name:");
    assert_eq!(lines[12..22], ["hello (from a)"; 10]);
    assert_eq!(lines[22], "by a name that is not known:");
    assert_eq!(lines.len(), 24);
    assert!(lines[23].contains("UNAVAILABLE") && lines[23].contains("no \"nobody\""), "{}", lines[23]);
}

#[test]
fn dualstack_spreads_calls_over_servers_of_either_family() {
    let answers = ["IPv4", "IPv6", "both"].map(|name| format!("10 times hello (from {name})"));
    assert_eq!(lines(env!("CARGO_BIN_EXE_dualstack")), answers);
}

#[test]
fn custom_load_balancer_sends_every_third_call_to_the_second_server() {
    let three = ["hello (from a)", "hello (from a)", "hello (from b)"];
    assert_eq!(lines(env!("CARGO_BIN_EXE_custom_load_balancer")), [three; 3].concat());
}

#[test]
fn health_keeps_calls_from_servers_that_do_not_serve() {
    let mut lines = lines(env!("CARGO_BIN_EXE_health")).into_iter();
    let mut next = || lines.next().expect("a line");
    let both = [next(), next()].map(|line| line.split_once(" times ").map(|(_, answer)| answer.to_owned()));
    assert_eq!(both, [Some("hello (from a)".to_owned()), Some("hello (from b)".to_owned())]);
    assert_eq!(next(), "a does not: 10 times hello (from b)");
    assert_eq!(next(), "neither does: UNAVAILABLE");
    assert_eq!(next(), "a does again: 10 times hello (from a)");
    assert_eq!(lines.next(), None);
}
