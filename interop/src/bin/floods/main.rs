//! Floods a server from one side while an honest client works from the other, and reports how both fare.
//!
//! `floods [--seconds S] [--write PATH]`: S seconds (4 by default) for each flood; the table goes to PATH as well. Ends
//! with status 1 if a flood was answered otherwise than it has to be, if it cost the server more memory than its bound
//! or if a call of the honest client failed.
//!
//! The server is this program again, with one event loop that all connections share: what is found here is the worst
//! that one connection can do to another.

mod flood;
mod honest;
mod hostile;
mod process;
mod report;
mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use flood::FLOODS;
use honest::Honest;
use report::{Report, Row};
use server::ServerProcess;

fn main() -> ExitCode {
    // A peer that reads nothing is given up a second after its kernel has taken the last octets, which may be a while.
    let mut seconds = 4;
    let mut path = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            (server::ARGUMENT, _) => return server::serve(),
            ("--seconds", Some(value)) if value.parse::<u64>().is_ok_and(|value| value > 0) => {
                seconds = value.parse().unwrap_or(seconds);
            }
            ("--write", Some(value)) => path = Some(value),
            _ => {
                eprintln!("usage: floods [--seconds S] [--write PATH]");
                return ExitCode::FAILURE;
            }
        }
    }
    let report = run(Duration::from_secs(seconds));
    print!("{}", report.table());
    if let Some(path) = path
        && let Err(error) = std::fs::write(&path, report.document())
    {
        eprintln!("{path}: {error}");
        return ExitCode::FAILURE;
    }
    println!("{} passed, {} failed", report.passed(), report.failed());
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(time: Duration) -> Report {
    let server = ServerProcess::start();
    let alone = Honest::start(&server.address);
    std::thread::sleep(time);
    let mut report = Report::new(time, alone.stop());
    for flood in FLOODS {
        let server = ServerProcess::start();
        let honest = Honest::start(&server.address);
        let process = server.process();
        let (memory, cpu, begin) = (process.resident(), process.cpu_time(), Instant::now());
        process.forget_peak();
        let (reaction, connections) = flood.run(&server.address, time);
        let row = Row {
            flood,
            reaction,
            connections,
            growth: process.peak().saturating_sub(memory),
            load: (process.cpu_time() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64(),
            honest: honest.stop(),
        };
        eprintln!("{}", row.line());
        report.add(row);
    }
    report
}
