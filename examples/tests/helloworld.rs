//! Runs the helloworld example and reads what it prints.

mod program;

use program::{Program, run};

const HELLOWORLD: &str = env!("CARGO_BIN_EXE_helloworld");

#[test]
fn without_arguments_it_greets_in_all_ways_and_ends() {
    let output = run(HELLOWORLD, &[]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(lines[0].starts_with("listening on 127.0.0.1:"), "{lines:?}");
    assert_eq!(
        lines[1..],
        [
            "greeting: Hello world",
            "streamed: Hello world",
            "streamed: Hello world, again",
            "streamed: Hello world, and once more",
            "conversation: Hello world",
            "conversation: Hello world",
            "conversation: Hello world",
            "server stopped",
        ]
    );
}

#[test]
fn client_and_server_run_as_two_programs() {
    let server = Program::server(HELLOWORLD, &["--addr", "127.0.0.1:0", "--threads", "1"]);
    let output = run(HELLOWORLD, &["client", "--addr", server.address(), "--name", "Ada"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(output.stdout.starts_with("greeting: Hello Ada\n"), "{}", output.stdout);
}

#[test]
fn metadata_comes_back_in_headers_and_trailers() {
    let server = Program::server(HELLOWORLD, &["--addr=127.0.0.1:0"]);
    let output = run(HELLOWORLD, &["client", "--addr", server.address(), "--echo", "over here"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(
        output.stdout.contains("header x-echo: over here\ntrailer x-echo-trailer: over here\n"),
        "{}",
        output.stdout
    );
}

#[test]
fn an_empty_name_is_refused() {
    let server = Program::server(HELLOWORLD, &["--addr", "127.0.0.1:0"]);
    let output = run(HELLOWORLD, &["client", "--addr", server.address(), "--name", ""]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("INVALID_ARGUMENT"), "{}", output.stderr);
    assert!(output.stderr.contains("request missing required field: name"), "{}", output.stderr);
}

#[test]
fn a_late_greeting_meets_the_deadline_or_misses_it() {
    let server = Program::server(HELLOWORLD, &["--addr", "127.0.0.1:0"]);
    let late = |timeout| {
        run(HELLOWORLD, &["client", "--addr", server.address(), "--name", "delay:200", "--timeout", timeout])
    };
    let output = late("20000");
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(output.stdout.starts_with("greeting: Hello delay:200\n"), "{}", output.stdout);
    let output = late("50");
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("DEADLINE_EXCEEDED"), "{}", output.stderr);
}

#[test]
fn help_names_every_option() {
    let output = run(HELLOWORLD, &["--help"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    for option in ["--addr", "--threads", "--name", "--echo", "--timeout"] {
        assert!(output.stdout.contains(option), "{option} in {}", output.stdout);
    }
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    let mistakes: [(&[&str], &str); 8] = [
        (&["serve"], "unknown command \"serve\""),
        (&["server"], "--addr is missing"),
        (&["server", "--addr"], "--addr needs a value"),
        (&["server", "--addr", "127.0.0.1:0", "--name", "x"], "unknown option \"--name\""),
        (&["server", "--addr", "127.0.0.1:0", "--threads", "many"], "--threads can't be \"many\""),
        (&["server", "--addr", "127.0.0.1:0", "--threads", "0"], "--threads must be at least 1"),
        (&["client", "--addr", "a:1", "--addr", "b:1"], "--addr is given twice"),
        (&["client", "--addr", "a:1", "--timeout", "soon"], "--timeout can't be \"soon\""),
    ];
    for (arguments, message) in mistakes {
        let output = run(HELLOWORLD, arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}");
        assert!(output.stderr.contains(message), "{arguments:?} says {}", output.stderr);
    }
}

#[test]
fn an_address_that_is_none_is_reported() {
    let output = run(HELLOWORLD, &["server", "--addr", "nonsense"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("nonsense"), "{}", output.stderr);
}

#[test]
fn a_client_without_a_server_fails_with_unavailable() {
    // Nobody listens on port 1 of the loopback interface.
    let output = run(HELLOWORLD, &["client", "--addr", "127.0.0.1:1"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("UNAVAILABLE"), "{}", output.stderr);
}
