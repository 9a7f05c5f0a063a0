//! The command line of an example.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

/// An example, as its `--help` describes it.
pub struct Example {
    /// What the program is called.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// What its client takes besides `--addr`.
    pub client_flags: &'static [Flag],
}

/// An option on the command line that takes a value.
pub struct Flag {
    /// With its dashes: `--name`.
    pub name: &'static str,
    /// What its value is called in the help.
    pub value: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// Which part of an example is to be run.
pub enum Role {
    /// Server and client in one process.
    Both,
    /// The server alone.
    Server {
        /// Where to listen.
        address: String,
        /// How many event loops to run; `None` leaves it to the engine.
        threads: Option<usize>,
    },
    /// The client alone.
    Client {
        /// Where the server listens.
        address: String,
        /// The client's own options.
        options: Options,
    },
}

/// Options with their values.
#[derive(Debug, Default)]
pub struct Options(BTreeMap<&'static str, String>);

/// What is wrong with the command line.
#[derive(Debug)]
pub struct UsageError(String);

const ADDRESS: Flag = Flag { name: "--addr", value: "ADDRESS", about: "host:port or unix:/path" };
const THREADS: Flag =
    Flag { name: "--threads", value: "N", about: "how many event loops to run (default: one a core)" };

impl Example {
    /// Runs the part of the example that the command line asks for, and reports its error if it fails.
    pub fn run(&self, run: impl FnOnce(Role) -> Result<(), Box<dyn Error>>) -> ExitCode {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
            print!("{}", self.help());
            return ExitCode::SUCCESS;
        }
        let Err(error) = self.role(arguments).map_err(Box::from).and_then(run) else {
            return ExitCode::SUCCESS;
        };
        eprintln!("{}: {error}", self.name);
        if !error.is::<UsageError>() {
            return ExitCode::FAILURE;
        }
        eprintln!("{} --help tells how to use it", self.name);
        ExitCode::from(2)
    }

    fn role(&self, arguments: Vec<String>) -> Result<Role, UsageError> {
        let mut arguments = arguments.into_iter();
        let Some(role) = arguments.next() else {
            return Ok(Role::Both);
        };
        match role.as_str() {
            "server" => {
                let mut options = Options::parse(arguments, &[&ADDRESS, &THREADS])?;
                let address = options.take_address()?;
                let threads = options.get::<usize>(THREADS.name)?;
                if threads == Some(0) {
                    return Err(UsageError("--threads must be at least 1".to_owned()));
                }
                Ok(Role::Server { address, threads })
            }
            "client" => {
                let known: Vec<&Flag> = [&ADDRESS].into_iter().chain(self.client_flags).collect();
                let mut options = Options::parse(arguments, &known)?;
                Ok(Role::Client { address: options.take_address()?, options })
            }
            _ => Err(UsageError(format!(
                "unknown command {role:?}; it must be \"server\", \"client\" or nothing"
            ))),
        }
    }

    fn help(&self) -> String {
        let Self { name, about, client_flags } = self;
        let mut help = format!(
            "{about}\n\n\
             {name}                            runs server and client in one process\n\
             {name} server --addr ADDRESS ..   runs the server\n\
             {name} client --addr ADDRESS ..   runs the client\n"
        );
        let mut section = |title: &str, flags: &[&Flag]| {
            help.push_str(&format!("\nOptions of the {title}:\n"));
            for Flag { name, value, about } in flags {
                help.push_str(&format!("  {:<20} {about}\n", format!("{name} {value}")));
            }
        };
        section("server", &[&ADDRESS, &THREADS]);
        let client: Vec<&Flag> = [&ADDRESS].into_iter().chain(*client_flags).collect();
        section("client", &client);
        help
    }
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>, known: &[&Flag]) -> Result<Self, UsageError> {
        let mut values = BTreeMap::new();
        while let Some(argument) = arguments.next() {
            // Both `--name value` and `--name=value` are understood.
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let Some(flag) = known.iter().find(|flag| flag.name == name) else {
                return Err(UsageError(format!("unknown option {name:?}")));
            };
            let Some(value) = value.or_else(|| arguments.next()) else {
                return Err(UsageError(format!("{name} needs a value: {name} {}", flag.value)));
            };
            if values.insert(flag.name, value).is_some() {
                return Err(UsageError(format!("{name} is given twice")));
            }
        }
        Ok(Self(values))
    }

    fn take_address(&mut self) -> Result<String, UsageError> {
        let missing = || UsageError(format!("{0} is missing: {0} {1}", ADDRESS.name, ADDRESS.value));
        self.0.remove(ADDRESS.name).ok_or_else(missing)
    }

    /// The value of an option, if it is given.
    ///
    /// # Errors
    ///
    /// When the value can't be read as a `T`.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>, UsageError>
    where
        T::Err: fmt::Display,
    {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(UsageError(format!("{name} can't be {value:?}: {error}"))),
        }
    }
}

impl UsageError {
    /// An error that this text describes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UsageError {}
