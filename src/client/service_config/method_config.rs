//! [`MethodConfig`]: what a service config says of one method's calls.

use std::time::Duration;

use super::json::{ConfigError, Json};
use crate::rpc::Code;

/// What a service config says of the calls of a method. What it leaves open is up to the call and the channel.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MethodConfig {
    /// Whether calls wait for a connection when connecting fails, unless they say themselves.
    pub wait_for_ready: Option<bool>,
    /// The longest time that a call may take. The call's own timeout counts if it is shorter.
    pub timeout: Option<Duration>,
    /// The largest request message, in octets. The call's own limit counts if it is smaller.
    pub max_request_message_bytes: Option<usize>,
    /// The largest response message, in octets. The call's own limit counts if it is smaller.
    pub max_response_message_bytes: Option<usize>,
    /// How calls are sent more than once. `None`: not by policy.
    pub attempts: Option<AttemptPolicy>,
}

/// How a call is sent more than once (gRFC A6). A method has one of these at most.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptPolicy {
    /// One attempt after the other.
    Retry(RetryPolicy),
    /// Several attempts beside each other.
    Hedging(HedgingPolicy),
}

/// Further attempts for calls that fail with certain codes.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The most attempts, the first included: at least 2. The channel has a limit of its own.
    pub max_attempts: u32,
    /// The wait before the second attempt.
    pub initial_backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// What each further wait is multiplied by; greater than 0.
    pub backoff_multiplier: f64,
    /// The codes that another attempt may follow; at least one.
    pub retryable_status_codes: Codes,
}

/// Further attempts without waiting for the first to fail.
#[derive(Clone, Debug, PartialEq)]
pub struct HedgingPolicy {
    /// The most attempts, the first included: at least 2. The channel has a limit of its own.
    pub max_attempts: u32,
    /// The time from one attempt to the next. Zero: all at once.
    pub hedging_delay: Duration,
    /// The codes after which the other attempts go on, and the next begins at once.
    pub non_fatal_status_codes: Codes,
}

/// A set of status codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codes(u32);

impl Codes {
    /// Whether the code is one of them.
    pub fn contains(self, code: Code) -> bool {
        self.0 & 1 << code as u32 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Code> for Codes {
    fn from_iter<I: IntoIterator<Item = Code>>(codes: I) -> Self {
        Codes(codes.into_iter().fold(0, |set, code| set | 1 << code as u32))
    }
}

impl MethodConfig {
    pub(super) fn parse(json: &Json<'_>) -> Result<Self, ConfigError> {
        let size = |name: &str| match json.field(name)? {
            Some(size) => size.whole(0..=u32::MAX.into()).map(|size| Some(size as usize)),
            None => Ok(None),
        };
        Ok(MethodConfig {
            wait_for_ready: json.field("waitForReady")?.map(|wait| wait.boolean()).transpose()?,
            timeout: json.field("timeout")?.map(|timeout| timeout.duration()).transpose()?,
            max_request_message_bytes: size("maxRequestMessageBytes")?,
            max_response_message_bytes: size("maxResponseMessageBytes")?,
            attempts: AttemptPolicy::parse(json)?,
        })
    }
}

impl AttemptPolicy {
    fn parse(json: &Json<'_>) -> Result<Option<Self>, ConfigError> {
        match (json.field("retryPolicy")?, json.field("hedgingPolicy")?) {
            (None, None) => Ok(None),
            (Some(retry), None) => {
                RetryPolicy::parse(&retry).map(|policy| Some(AttemptPolicy::Retry(policy)))
            }
            (None, Some(hedging)) => {
                HedgingPolicy::parse(&hedging).map(|policy| Some(AttemptPolicy::Hedging(policy)))
            }
            (Some(_), Some(hedging)) => Err(hedging.must_be("left out, since the method has a retryPolicy")),
        }
    }
}

/// The number of attempts, which `retryPolicy` and `hedgingPolicy` have in common.
fn max_attempts(json: &Json<'_>) -> Result<u32, ConfigError> {
    let attempts = json.required("maxAttempts", "a whole number of at least 2")?;
    attempts.whole(2..=u64::MAX).map(|attempts| u32::try_from(attempts).unwrap_or(u32::MAX))
}

impl RetryPolicy {
    fn parse(json: &Json<'_>) -> Result<Self, ConfigError> {
        let duration = |name: &str| json.required(name, "a duration greater than 0")?.positive_duration();
        let codes = json.required("retryableStatusCodes", "an array of at least one status code")?;
        let policy = RetryPolicy {
            max_attempts: max_attempts(json)?,
            initial_backoff: duration("initialBackoff")?,
            max_backoff: duration("maxBackoff")?,
            backoff_multiplier: json.required("backoffMultiplier", "a number greater than 0")?.positive()?,
            retryable_status_codes: Codes::parse(&codes)?,
        };
        match policy.retryable_status_codes.is_empty() {
            true => Err(codes.must_be("an array of at least one status code")),
            false => Ok(policy),
        }
    }
}

impl HedgingPolicy {
    fn parse(json: &Json<'_>) -> Result<Self, ConfigError> {
        let codes = json.field("nonFatalStatusCodes")?;
        Ok(HedgingPolicy {
            max_attempts: max_attempts(json)?,
            hedging_delay: json
                .field("hedgingDelay")?
                .map_or(Ok(Duration::ZERO), |delay| delay.duration())?,
            non_fatal_status_codes: codes.map_or(Ok(Codes::default()), |codes| Codes::parse(&codes))?,
        })
    }
}

impl Codes {
    fn parse(json: &Json<'_>) -> Result<Self, ConfigError> {
        json.items()?.iter().map(parse_code).collect()
    }
}

/// A code by its name, in either case, or by its number.
fn parse_code(json: &Json<'_>) -> Result<Code, ConfigError> {
    let by_name = |name: &str| Code::ALL.into_iter().find(|code| code.name().eq_ignore_ascii_case(name));
    let by_number = |number: u64| Code::ALL.get(number as usize).copied();
    let code = match json.string() {
        Ok(name) => by_name(name),
        Err(_) => json.whole(0..=16).ok().and_then(by_number),
    };
    code.ok_or_else(|| json.must_be("a status code, as \"UNAVAILABLE\" or 14"))
}
