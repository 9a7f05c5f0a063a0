//! Runs the route guide example and reads what it prints.

mod program;

use program::{Program, run};

const ROUTE_GUIDE: &str = env!("CARGO_BIN_EXE_route_guide");

/// What the client prints on a server that nobody has visited before.
const TRAVEL: [&str; 15] = [
    "at 41.1645, -74.5573: Covered Bridge, Heron Creek",
    "nothing at 0.0000, 0.0000",
    "between 40.0000, -75.0000 and 41.0000, -73.0000:",
    "  Weathervane Barn, Mill Lane at 40.1250, -74.8011",
    "  Three Ponds at 40.2418, -74.6391",
    "  Lookout over the Gorge at 40.3982, -74.5227",
    "  Old Toll House, Turnpike 4 at 40.5506, -74.3918",
    "  Bakery at the Crossroads at 40.6730, -74.2605",
    "  Tin Whistle Museum at 40.7282, -74.1159",
    "  Chestnut Row at 40.8119, -74.0033",
    "  Slate Quarry at 40.9005, -74.7216",
    "found at 40.2000, -74.1000: the ferry runs at noon",
    "found at 41.7000, -74.8000: mind the wind",
    "found at 40.2000, -74.1000: the ferry runs at noon",
    "found at 40.2000, -74.1000: no ferry on Sundays",
];

#[test]
fn without_arguments_it_travels_and_ends() {
    let output = run(ROUTE_GUIDE, &[]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let mut lines: Vec<&str> = output.stdout.lines().collect();
    assert!(lines.remove(0).starts_with("listening on 127.0.0.1:"), "{}", output.stdout);
    assert_eq!(lines.pop(), Some("server stopped"));
    // The time that it took differs.
    let summary = lines.remove(11);
    assert!(
        summary.starts_with("travelled ") && summary.contains(" over 32 points, saw 16 features in "),
        "{summary}"
    );
    assert_eq!(lines, TRAVEL);
}

#[test]
fn visitors_find_the_notes_of_earlier_ones() {
    let server = Program::server(ROUTE_GUIDE, &["--addr", "127.0.0.1:0", "--threads", "2"]);
    let notes = || {
        let output = run(ROUTE_GUIDE, &["client", "--addr", server.address()]);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
        output.stdout.lines().filter(|line| line.starts_with("found at ")).count()
    };
    assert_eq!(notes(), 4);
    // Five notes, of which three find the three of the first visitor as well, and two find two.
    assert_eq!(notes(), 4 + 3 * 3 + 2 * 2);
}
