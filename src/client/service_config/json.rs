//! A place in a JSON document, read with errors that name it.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

/// A value in a JSON document together with the way that leads to it.
///
/// Fields are asked for by their names in camel case, as protocol buffers write them in JSON; the names in snake case
/// are understood as well. Fields that nobody asks for are ignored, and `null` is the same as nothing.
#[derive(Clone, Debug)]
pub struct Json<'a> {
    value: &'a Value,
    path: String,
}

/// What is wrong with a configuration: where, what stands there, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `methodConfig[0].timeout`, or nothing for the document itself.
    path: String,
    found: String,
    wanted: String,
}

/// More of a value than this is not repeated in an error.
const MAX_FOUND: usize = 80;
/// The range of `google.protobuf.Duration`, about 10,000 years.
const MAX_DURATION_SECONDS: u64 = 315_576_000_000;

impl<'a> Json<'a> {
    pub(crate) fn document(value: &'a Value) -> Self {
        Json { value, path: String::new() }
    }

    #[cfg(feature = "dns-client")]
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// The way to this value from the root of the document, as in `methodConfig[0].timeout`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// An error about this value: what it must be.
    pub fn must_be(&self, wanted: impl fmt::Display) -> ConfigError {
        ConfigError { path: self.path.clone(), found: shortened(self.value), wanted: wanted.to_string() }
    }

    /// The field of this name, if this is an object and has one.
    pub fn field(&self, name: &str) -> Result<Option<Json<'a>>, ConfigError> {
        let object = self.object()?;
        let value = object.get(name).or_else(|| object.get(&snake_case(name)));
        Ok(value.filter(|value| !value.is_null()).map(|value| self.child(name, value)))
    }

    /// The field of this name, which must be there. `wanted` says what it must be.
    pub fn required(&self, name: &str, wanted: &str) -> Result<Json<'a>, ConfigError> {
        const NOTHING: &Value = &Value::Null;
        self.field(name)?.ok_or_else(|| self.child(name, NOTHING).must_be(wanted))
    }

    /// The fields of an object, sorted by name.
    pub fn fields(&self) -> Result<Vec<(&'a str, Json<'a>)>, ConfigError> {
        let fields = self.object()?.iter();
        Ok(fields.map(|(name, value)| (name.as_str(), self.child(name, value))).collect())
    }

    /// The items of an array.
    pub fn items(&self) -> Result<Vec<Json<'a>>, ConfigError> {
        let items = self.value.as_array().ok_or_else(|| self.must_be("an array"))?;
        let place = |(index, value)| Json { value, path: format!("{}[{index}]", self.path) };
        Ok(items.iter().enumerate().map(place).collect())
    }

    /// A string.
    pub fn string(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.must_be("a string"))
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.must_be("true or false"))
    }

    /// A whole number of this range. It may be written as a string, and with a fraction of zero, as in `1.0`.
    pub fn whole(&self, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let number = match self.value {
            Value::Number(number) => number.as_u64().or_else(|| {
                let number = number.as_f64()?;
                // Larger ones are not exact.
                let exact = number.fract() == 0.0 && (0.0..=2f64.powi(53)).contains(&number);
                exact.then_some(number as u64)
            }),
            Value::String(text) if text.bytes().all(|octet| octet.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            match *high {
                u64::MAX => self.must_be(format!("a whole number of at least {low}")),
                high => self.must_be(format!("a whole number from {low} to {high}")),
            }
        })
    }

    /// Any number that is not negative.
    pub fn number(&self) -> Result<f64, ConfigError> {
        let number = self.value.as_f64().filter(|number| *number >= 0.0);
        number.ok_or_else(|| self.must_be("a number of at least 0"))
    }

    /// A number greater than zero.
    pub fn positive(&self) -> Result<f64, ConfigError> {
        let number = self.value.as_f64().filter(|number| *number > 0.0);
        number.ok_or_else(|| self.must_be("a number greater than 0"))
    }

    /// A duration as protocol buffers write it in JSON: seconds with up to nine digits of fraction and an `s`.
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        let duration = self.value.as_str().and_then(parse_duration);
        duration.ok_or_else(|| self.must_be("a duration of at least 0 such as \"1.5s\""))
    }

    /// A duration greater than zero.
    pub fn positive_duration(&self) -> Result<Duration, ConfigError> {
        let duration = self.value.as_str().and_then(parse_duration).filter(|duration| !duration.is_zero());
        duration.ok_or_else(|| self.must_be("a duration greater than 0 such as \"1.5s\""))
    }

    fn object(&self) -> Result<&'a Map<String, Value>, ConfigError> {
        self.value.as_object().ok_or_else(|| self.must_be("an object"))
    }

    fn child(&self, name: &str, value: &'a Value) -> Json<'a> {
        let dot = if self.path.is_empty() { "" } else { "." };
        Json { value, path: format!("{}{dot}{name}", self.path) }
    }
}

/// The JSON text of the value, for readers of one's own.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl ConfigError {
    /// The document is no JSON.
    pub(crate) fn no_json(error: &serde_json::Error) -> Self {
        let found = format!("text that is no JSON ({error})");
        ConfigError { path: String::new(), found, wanted: "a JSON object".to_owned() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        write!(f, "{path}: found {}; it must be {}", self.found, self.wanted)
    }
}

impl std::error::Error for ConfigError {}

fn shortened(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        value => value.to_string(),
    };
    match text.char_indices().nth(MAX_FOUND) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

fn parse_duration(text: &str) -> Option<Duration> {
    let is_digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    let number = text.strip_suffix('s')?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if seconds.is_empty() || !is_digits(seconds) || !is_digits(fraction) || !(1..=9).contains(&fraction.len())
    {
        return None;
    }
    let seconds = seconds.parse().ok().filter(|seconds| *seconds <= MAX_DURATION_SECONDS)?;
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_seconds_with_up_to_nine_digits_of_fraction() {
        for (text, duration) in [
            ("0s", Duration::ZERO),
            ("1s", Duration::from_secs(1)),
            ("1.5s", Duration::from_millis(1500)),
            ("0.000000001s", Duration::from_nanos(1)),
            ("315576000000s", Duration::from_secs(315_576_000_000)),
        ] {
            assert_eq!(parse_duration(text), Some(duration), "{text}");
        }
        for text in ["", "s", "1", "-1s", ".5s", "1.s", "1.0000000000s", "1m", "1 s", "315576000001s", "+1s"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_be_strings_or_have_a_fraction_of_zero() {
        for value in [json!(5), json!("5"), json!(5.0)] {
            assert_eq!(Json::document(&value).whole(0..=10), Ok(5));
        }
        for value in [json!(-5), json!("-5"), json!(5.5), json!(11), json!(""), json!(null), json!(1e300)] {
            assert!(Json::document(&value).whole(0..=10).is_err(), "{value}");
        }
    }

    #[test]
    fn fields_are_found_by_either_spelling_and_null_is_nothing() {
        let value = json!({"oneName": 1, "other_name": 2, "third": null});
        let json = Json::document(&value);
        assert_eq!(json.field("oneName").unwrap().unwrap().whole(0..=9), Ok(1));
        assert_eq!(json.field("otherName").unwrap().unwrap().whole(0..=9), Ok(2));
        assert!(json.field("third").unwrap().is_none());
        assert!(json.field("fourth").unwrap().is_none());
    }

    #[test]
    fn errors_name_the_place_the_value_and_what_would_be_right() {
        let value = json!({"list": [{"timeout": "1"}], "long": "x".repeat(200)});
        let json = Json::document(&value);
        let list = json.required("list", "a list").unwrap();
        let items = list.items().unwrap();
        let timeout = items[0].required("timeout", "a duration").unwrap();
        assert_eq!(
            timeout.duration().unwrap_err().to_string(),
            "list[0].timeout: found \"1\"; it must be a duration of at least 0 such as \"1.5s\""
        );
        assert_eq!(
            items[0].required("name", "a name").unwrap_err().to_string(),
            "list[0].name: found nothing; it must be a name"
        );
        assert_eq!(
            list.field("x").unwrap_err().to_string(),
            "list: found [{\"timeout\":\"1\"}]; it must be an object"
        );
        let long = json.required("long", "").unwrap().boolean().unwrap_err().to_string();
        assert!(long.len() < 150 && long.contains("xxx...; it must be true or false"), "{long}");
    }
}
