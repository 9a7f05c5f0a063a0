//! [`Report`]: what the floods led to, as a table and as a document.

use std::fmt::Write;
use std::time::Duration;

use crate::flood::{Flood, Reaction};
use crate::honest::Latencies;

/// What came of one flood.
pub(crate) struct Row {
    pub(crate) flood: &'static Flood,
    pub(crate) reaction: Reaction,
    /// Connections that the flood took: a new one each time the server had ended the last.
    pub(crate) connections: usize,
    /// Octets of memory that the server took at most more than before.
    pub(crate) growth: u64,
    /// The share of one processor that the server took.
    pub(crate) load: f64,
    pub(crate) honest: Latencies,
}

pub(crate) struct Report {
    time: Duration,
    alone: Latencies,
    rows: Vec<Row>,
}

impl Row {
    fn is_good(&self) -> bool {
        self.flood.expected.is_met_by(&self.reaction)
            && self.growth <= self.flood.bound
            && self.honest.failed == 0
    }

    /// The row of the table.
    pub(crate) fn line(&self) -> String {
        format!(
            "| {} | {} | {} | {:.1} of {} MiB | {:.0} % | {} | {} | {} |",
            self.flood.name,
            self.reaction,
            self.connections,
            self.growth as f64 / f64::from(1 << 20),
            self.flood.bound >> 20,
            self.load * 100.0,
            micros(self.honest.percentile(50)),
            micros(self.honest.percentile(99)),
            if self.is_good() { "yes" } else { "NO" },
        )
    }
}

impl Report {
    pub(crate) fn new(time: Duration, alone: Latencies) -> Self {
        Report { time, alone, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn passed(&self) -> usize {
        self.rows.iter().filter(|row| row.is_good()).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.rows.len() - self.passed()
    }

    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| flood | reaction | connections | memory | CPU | p50 | p99 | as it has to be |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        let (p50, p99) = (micros(self.alone.percentile(50)), micros(self.alone.percentile(99)));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| none | | | | | {p50} | {p99} | |");
        for row in &self.rows {
            let _ = writeln!(table, "{}", row.line());
        }
        table
    }

    pub(crate) fn document(&self) -> String {
        format!(
            "# Floods\n\n\
             What one hostile client does to a server, and to the honest client of another connection. Written by\n\
             `target/release/floods --write interop/FLOODS.md` on a machine with {} processors, {} s for each flood; those of\n\
             2,000 connections end when the server has ended all of them.\n\n\
             The server has one event loop, which all connections share, and runs beside both clients. `connections`: the\n\
             flood connects anew each time the server has ended its connection. `memory`: by how much the server's\n\
             resident memory grew at most, and what it may; `CPU`: of one processor. `p50` and `p99`: an honest client's\n\
             calls of 100 octets, one each millisecond.\n\n{}",
            std::thread::available_parallelism().map_or(0, usize::from),
            self.time.as_secs(),
            self.table(),
        )
    }
}

fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}
