//! Command lines as the gRPC interoperability tests have them: `--name=value` or `--name value`.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The flags of a program, each with its value.
#[derive(Debug)]
pub struct Flags {
    values: BTreeMap<&'static str, String>,
}

impl Flags {
    /// Reads the command line of this process, where `known` says which flags there are and what they are by default.
    ///
    /// # Errors
    ///
    /// A flag that is not known, or one without a value.
    pub fn from_args(known: &[(&'static str, &str)]) -> Result<Flags, String> {
        Flags::read(std::env::args().skip(1), known)
    }

    fn read(
        mut arguments: impl Iterator<Item = String>,
        known: &[(&'static str, &str)],
    ) -> Result<Flags, String> {
        let mut values: BTreeMap<_, _> =
            known.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        while let Some(argument) = arguments.next() {
            let flag = argument.trim_start_matches('-');
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let Some(place) = values.get_mut(name).filter(|_| argument.starts_with('-')) else {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "{argument} is not a flag of this program; it has --{}",
                    names.join(", --")
                ));
            };
            *place = match value.or_else(|| arguments.next()) {
                Some(value) => value,
                None => return Err(format!("{argument} needs a value: {argument}=VALUE")),
            };
        }
        Ok(Flags { values })
    }

    /// The value of a flag.
    ///
    /// # Panics
    ///
    /// When the program has no such flag.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => panic!("--{name} is read but not known"),
        }
    }

    /// The value of a flag, read as something.
    ///
    /// # Errors
    ///
    /// When it cannot be.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name);
        text.parse().map_err(|_| format!("--{name}={text}: not a {}", std::any::type_name::<T>()))
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    fn read(line: &str) -> Result<Flags, String> {
        Flags::read(line.split_whitespace().map(str::to_owned), &[("port", "10000"), ("use_tls", "false")])
    }

    #[test]
    fn flags_have_defaults_and_take_values_either_way() {
        assert_eq!(read("").unwrap().get("port"), Ok(10_000));
        assert_eq!(read("--port=1").unwrap().get("port"), Ok(1));
        assert_eq!(read("--port 2 -use_tls=true").unwrap().get("use_tls"), Ok(true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(
            read("--prot=1").unwrap_err(),
            "--prot=1 is not a flag of this program; it has --port, --use_tls"
        );
        assert_eq!(read("--port").unwrap_err(), "--port needs a value: --port=VALUE");
        assert_eq!(read("--port=x").unwrap().get::<u16>("port").unwrap_err(), "--port=x: not a u16");
    }
}
