//! An example as a program of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// What a program printed, and its exit code.
pub(crate) struct Output {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// Runs a program to its end.
pub(crate) fn run(path: &str, arguments: &[&str]) -> Output {
    let output = Command::new(path).args(arguments).output().expect("the program starts");
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A program that runs until this value is dropped.
pub(crate) struct Program {
    child: Child,
    address: String,
}

impl Program {
    /// Starts the server of an example and waits until it listens.
    pub(crate) fn server(path: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(path)
            .arg("server")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its standard output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on ").expect("an address").to_owned();
        Self { child, address }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which is no less well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
