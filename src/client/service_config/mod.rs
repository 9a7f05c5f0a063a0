//! The service config: what those who run a service want of its clients (`doc/service_config.md` of the gRPC
//! repository).
//!
//! It is a JSON document that comes with a resolution or from the channel's builder. It chooses the load balancing
//! policy, says of each method how its calls wait, time out and are retried, and throttles retries. A document with an
//! error is refused as a whole; see [`Resolution::service_config`](super::resolver::Resolution::service_config) for
//! what a channel does then.
//!
//! ```
//! use lariat::client::balancer::Registry;
//! use lariat::client::service_config::ServiceConfig;
//!
//! let text = r#"{
//!     "loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}],
//!     "methodConfig": [
//!         {"name": [{}], "timeout": "10s"},
//!         {"name": [{"service": "shop.Cart", "method": "Add"}], "waitForReady": true, "timeout": "1.5s"}
//!     ]
//! }"#;
//! let config = ServiceConfig::parse(text, &Registry::default())?;
//! assert_eq!(config.method("/shop.Cart/Add").unwrap().wait_for_ready, Some(true));
//! assert_eq!(config.method("/shop.Cart/Remove").unwrap().timeout, Some(std::time::Duration::from_secs(10)));
//! # Ok::<(), lariat::client::service_config::ConfigError>(())
//! ```

mod json;
mod method_config;

use std::collections::HashMap;
use std::sync::Arc;

pub use json::{ConfigError, Json};
pub use method_config::{AttemptPolicy, Codes, HedgingPolicy, MethodConfig, RetryPolicy};

use super::balancer::{Policy, Registry};

/// A service config that was read and found to be right.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// The load balancing policy. `None`: the channel's default, `pick_first`.
    pub load_balancing: Option<Policy>,
    /// Limits retries and hedges while many calls fail.
    pub retry_throttling: Option<RetryThrottling>,
    /// The service whose health is watched on each connection (gRFC A17). `None`: no watching.
    pub health_check_service: Option<Arc<str>>,
    /// The most connections of one subchannel (gRFC A105): a further one is made when calls wait and all others carry
    /// as many as the server allows. None is closed for want of calls: that is up to the server, or the channel's
    /// idleness. `None`: one. The channel has a limit of its own,
    /// [`max_connections_per_subchannel`](super::ChannelBuilder::max_connections_per_subchannel).
    pub max_connections_per_subchannel: Option<u32>,
    services: HashMap<String, ServiceMethods>,
    default: Option<Arc<MethodConfig>>,
}

/// What the config says of one service.
#[derive(Clone, Debug, Default)]
struct ServiceMethods {
    methods: HashMap<String, Arc<MethodConfig>>,
    /// For the methods that are not named.
    others: Option<Arc<MethodConfig>>,
}

/// The bucket of tokens that retries and hedges draw on (gRFC A6): each failure takes one, each success returns
/// `token_ratio`, and there are no further attempts while the bucket is half empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryThrottling {
    /// The size of the bucket, from 1 to 1,000 tokens.
    pub max_tokens: u32,
    /// What a success returns, in thousandths of a token; at least one.
    pub token_ratio_thousandths: u32,
}

impl ServiceConfig {
    /// Reads a service config. `policies` are the load balancing policies to choose from.
    pub fn parse(text: &str, policies: &Registry) -> Result<Self, ConfigError> {
        let value = serde_json::from_str(text).map_err(|error| ConfigError::no_json(&error))?;
        let json = Json::document(&value);
        let mut config = ServiceConfig {
            load_balancing: load_balancing(&json, policies)?,
            retry_throttling: json
                .field("retryThrottling")?
                .map(|throttling| RetryThrottling::parse(&throttling))
                .transpose()?,
            health_check_service: match json.field("healthCheckConfig")? {
                Some(health) => {
                    health.field("serviceName")?.map(|name| name.string()).transpose()?.map(Arc::from)
                }
                None => None,
            },
            max_connections_per_subchannel: match json.field("connectionScaling")? {
                Some(scaling) => scaling
                    .field("maxConnectionsPerSubchannel")?
                    .map(|most| most.whole(1..=u32::MAX.into()).map(|most| most as u32))
                    .transpose()?,
                None => None,
            },
            services: HashMap::new(),
            default: None,
        };
        for method_config in json.field("methodConfig")?.map_or(Ok(Vec::new()), |list| list.items())? {
            config.add_method_config(&method_config)?;
        }
        Ok(config)
    }

    /// What the config says of the method with this path, `/package.Service/Method`: that of its own entry, else that
    /// of its service's, else that of the entry for all. Allocates nothing.
    pub fn method(&self, path: &str) -> Option<&Arc<MethodConfig>> {
        let (service, method) = path.strip_prefix('/').unwrap_or(path).rsplit_once('/')?;
        let service = self.services.get(service);
        service
            .and_then(|service| service.methods.get(method).or(service.others.as_ref()))
            .or(self.default.as_ref())
    }

    /// Whether there is nothing to look up.
    pub(crate) fn has_method_configs(&self) -> bool {
        self.default.is_some() || !self.services.is_empty()
    }

    fn add_method_config(&mut self, json: &Json<'_>) -> Result<(), ConfigError> {
        let config = Arc::new(MethodConfig::parse(json)?);
        for name in json.field("name")?.map_or(Ok(Vec::new()), |names| names.items())? {
            let text = |field: &str| match name.field(field)? {
                Some(text) => text.string(),
                None => Ok(""),
            };
            let place = match (text("service")?, text("method")?) {
                ("", "") => &mut self.default,
                ("", _) => return Err(name.must_be("given a service, too, since it has a method")),
                (service, "") => &mut self.services.entry(service.to_owned()).or_default().others,
                (service, method) => {
                    let methods = &mut self.services.entry(service.to_owned()).or_default().methods;
                    if methods.insert(method.to_owned(), Arc::clone(&config)).is_some() {
                        return Err(named_twice(&name));
                    }
                    continue;
                }
            };
            if place.replace(Arc::clone(&config)).is_some() {
                return Err(named_twice(&name));
            }
        }
        Ok(())
    }
}

fn named_twice(name: &Json<'_>) -> ConfigError {
    name.must_be("a name that no other entry of methodConfig has")
}

/// The policy by the list, else by the deprecated name alone.
fn load_balancing(json: &Json<'_>, policies: &Registry) -> Result<Option<Policy>, ConfigError> {
    if let Some(list) = json.field("loadBalancingConfig")? {
        return policies.choose(&list).map(Some);
    }
    let Some(name) = json.field("loadBalancingPolicy")? else { return Ok(None) };
    let policy = policies.get(&name.string()?.to_ascii_lowercase()).map(Policy::without_config);
    policy.map(Some).ok_or_else(|| name.must_be(format!("one of {}", policies.names())))
}

impl RetryThrottling {
    fn parse(json: &Json<'_>) -> Result<Self, ConfigError> {
        const WANTED: &str = "a number greater than 0, of which three decimal places count";
        let ratio = json.required("tokenRatio", WANTED)?;
        // Binary fractions may be a little less than the decimal ones they stand for.
        let token_ratio_thousandths = (ratio.positive()? * 1000.0 + 1e-6) as u32;
        if token_ratio_thousandths == 0 {
            return Err(ratio.must_be(WANTED));
        }
        let max_tokens = json.required("maxTokens", "a whole number from 1 to 1000")?.whole(1..=1000)? as u32;
        Ok(RetryThrottling { max_tokens, token_ratio_thousandths })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Code;
    use std::time::Duration;

    fn parse(text: &str) -> ServiceConfig {
        ServiceConfig::parse(text, &Registry::default()).unwrap()
    }

    #[track_caller]
    fn refused(text: &str, error: &str) {
        let found = ServiceConfig::parse(text, &Registry::default()).unwrap_err().to_string();
        assert_eq!(found, error, "{text}");
    }

    /// A config whose one method config has this in it.
    fn of_method(fields: &str) -> String {
        format!(r#"{{"methodConfig": [{{"name": [{{}}], {fields}}}]}}"#)
    }

    #[test]
    fn an_empty_config_says_nothing() {
        let config = parse("{}");
        assert!(config.load_balancing.is_none() && config.retry_throttling.is_none());
        assert!(config.health_check_service.is_none() && config.max_connections_per_subchannel.is_none());
        assert_eq!(config.method("/a.B/C"), None);
        assert!(!config.has_method_configs());
    }

    #[test]
    fn a_method_is_looked_up_by_itself_then_by_its_service_then_by_default() {
        let config = parse(
            r#"{"methodConfig": [
                {"name": [{}], "timeout": "1s"},
                {"name": [{"service": "a.B"}, {"service": "a.D", "method": ""}], "timeout": "2s"},
                {"name": [{"service": "a.B", "method": "C"}], "timeout": "3s"}
            ]}"#,
        );
        for (path, seconds) in [("/a.B/C", 3), ("/a.B/X", 2), ("/a.D/C", 2), ("/a.E/C", 1), ("/B/C", 1)] {
            let timeout = config.method(path).and_then(|config| config.timeout);
            assert_eq!(timeout, Some(Duration::from_secs(seconds)), "{path}");
        }
    }

    #[test]
    fn every_field_of_a_method_is_read() {
        let fields = r#""waitForReady": true, "timeout": "1.5s", "maxRequestMessageBytes": 10,
            "maxResponseMessageBytes": "20""#;
        let config = parse(&of_method(fields));
        let expected = MethodConfig {
            wait_for_ready: Some(true),
            timeout: Some(Duration::from_millis(1500)),
            max_request_message_bytes: Some(10),
            max_response_message_bytes: Some(20),
            attempts: None,
        };
        assert_eq!(**config.method("/a.B/C").unwrap(), expected);
    }

    #[test]
    fn a_retry_policy_is_read() {
        let config = parse(&of_method(
            r#""retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "1s",
                "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE", "aborted", 8]}"#,
        ));
        let codes = [Code::Unavailable, Code::Aborted, Code::ResourceExhausted].into_iter().collect();
        let expected = RetryPolicy {
            max_attempts: 4,
            initial_backoff: Duration::from_millis(10),
            max_backoff: Duration::from_secs(1),
            backoff_multiplier: 2.0,
            retryable_status_codes: codes,
        };
        assert_eq!(config.method("/a.B/C").unwrap().attempts, Some(AttemptPolicy::Retry(expected)));
        assert!(codes.contains(Code::Aborted) && !codes.contains(Code::Ok));
    }

    #[test]
    fn a_hedging_policy_is_read() {
        let config = parse(&of_method(
            r#""hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.5s", "nonFatalStatusCodes": ["INTERNAL"]}"#,
        ));
        let expected = HedgingPolicy {
            max_attempts: 3,
            hedging_delay: Duration::from_millis(500),
            non_fatal_status_codes: [Code::Internal].into_iter().collect(),
        };
        assert_eq!(config.method("/a.B/C").unwrap().attempts, Some(AttemptPolicy::Hedging(expected)));
        let config = parse(&of_method(r#""hedgingPolicy": {"maxAttempts": 2}"#));
        let attempts = config.method("/a.B/C").unwrap().attempts.clone();
        let Some(AttemptPolicy::Hedging(policy)) = attempts else { panic!("{attempts:?}") };
        assert!(policy.hedging_delay.is_zero() && policy.non_fatal_status_codes.is_empty());
    }

    #[test]
    fn the_rest_of_the_config_is_read() {
        let config = parse(
            r#"{"retryThrottling": {"maxTokens": 10, "tokenRatio": 1.0019},
                "healthCheckConfig": {"serviceName": ""},
                "connectionScaling": {"maxConnectionsPerSubchannel": 5},
                "somethingNew": [1, 2]}"#,
        );
        let throttling = RetryThrottling { max_tokens: 10, token_ratio_thousandths: 1001 };
        assert_eq!(config.retry_throttling, Some(throttling));
        assert_eq!(config.health_check_service.as_deref(), Some(""));
        assert_eq!(config.max_connections_per_subchannel, Some(5));
        let config = parse(r#"{"connection_scaling": {"max_connections_per_subchannel": 2}}"#);
        assert_eq!(config.max_connections_per_subchannel, Some(2));
        assert_eq!(parse(r#"{"healthCheckConfig": {}}"#).health_check_service, None);
    }

    #[test]
    fn the_first_policy_that_is_known_is_chosen() {
        let name = |text: &str| parse(text).load_balancing.unwrap().name().to_owned();
        assert_eq!(name(r#"{"loadBalancingConfig": [{"no_such": {}}, {"pick_first": {}}]}"#), "pick_first");
        assert_eq!(name(r#"{"loadBalancingPolicy": "PICK_FIRST"}"#), "pick_first");
        assert_eq!(
            name(r#"{"loadBalancingPolicy": "no_such", "loadBalancingConfig": [{"pick_first": {}}]}"#),
            "pick_first"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_what_would_be_right() {
        let policies = Registry::default().names();
        refused(
            "{",
            "the document: found text that is no JSON (EOF while parsing an object at line 1 column 1); it must be a \
             JSON object",
        );
        refused("[]", "the document: found []; it must be an object");
        refused(
            &of_method(r#""timeout": "-1s""#),
            "methodConfig[0].timeout: found \"-1s\"; it must be a duration of at least 0 such as \"1.5s\"",
        );
        refused(
            &of_method(r#""waitForReady": 1"#),
            "methodConfig[0].waitForReady: found 1; it must be true or false",
        );
        refused(
            &of_method(r#""maxRequestMessageBytes": -1"#),
            "methodConfig[0].maxRequestMessageBytes: found -1; it must be a whole number from 0 to 4294967295",
        );
        refused(
            r#"{"methodConfig": [{"name": [{"method": "C"}]}]}"#,
            "methodConfig[0].name[0]: found {\"method\":\"C\"}; it must be given a service, too, since it has a \
             method",
        );
        refused(
            r#"{"methodConfig": [{"name": [{"service": "a"}]}, {"name": [{"service": "a"}]}]}"#,
            "methodConfig[1].name[0]: found {\"service\":\"a\"}; it must be a name that no other entry of methodConfig \
             has",
        );
        refused(
            r#"{"loadBalancingConfig": [{"no_such": {}}]}"#,
            &format!(
                "loadBalancingConfig: found [{{\"no_such\":{{}}}}]; it must be a list with at least one of {policies}"
            ),
        );
        refused(
            r#"{"loadBalancingConfig": [{"pick_first": {}, "b": {}}]}"#,
            "loadBalancingConfig[0]: found {\"b\":{},\"pick_first\":{}}; it must be an object with one field: the \
             policy's name",
        );
        refused(
            r#"{"loadBalancingPolicy": "no_such"}"#,
            &format!("loadBalancingPolicy: found \"no_such\"; it must be one of {policies}"),
        );
        refused(
            r#"{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": "yes"}}]}"#,
            "loadBalancingConfig[0].pick_first.shuffleAddressList: found \"yes\"; it must be true or false",
        );
        refused(
            r#"{"retryThrottling": {"maxTokens": 1001, "tokenRatio": 1}}"#,
            "retryThrottling.maxTokens: found 1001; it must be a whole number from 1 to 1000",
        );
        refused(
            r#"{"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.0001}}"#,
            "retryThrottling.tokenRatio: found 0.0001; it must be a number greater than 0, of which three decimal \
             places count",
        );
        refused(
            r#"{"connectionScaling": {"maxConnectionsPerSubchannel": 0}}"#,
            "connectionScaling.maxConnectionsPerSubchannel: found 0; it must be a whole number from 1 to 4294967295",
        );
    }

    #[test]
    fn what_is_wrong_with_attempts_is_named() {
        let retry = |change: &str| {
            let all = r#""maxAttempts": 4, "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1,
                "retryableStatusCodes": ["UNAVAILABLE"]"#;
            // Of two fields with one name the later counts.
            of_method(&format!(r#""retryPolicy": {{{all}, {change}}}"#))
        };
        const AT: &str = "methodConfig[0].retryPolicy";
        for (change, error) in [
            (r#""maxAttempts": 1"#, "maxAttempts: found 1; it must be a whole number of at least 2"),
            (
                r#""initialBackoff": "0s""#,
                "initialBackoff: found \"0s\"; it must be a duration greater than 0 such as \"1.5s\"",
            ),
            (
                r#""maxBackoff": 1"#,
                "maxBackoff: found 1; it must be a duration greater than 0 such as \"1.5s\"",
            ),
            (r#""backoffMultiplier": 0"#, "backoffMultiplier: found 0; it must be a number greater than 0"),
            (
                r#""retryableStatusCodes": []"#,
                "retryableStatusCodes: found []; it must be an array of at least one status code",
            ),
            (
                r#""retryableStatusCodes": ["NOT_A_CODE"]"#,
                "retryableStatusCodes[0]: found \"NOT_A_CODE\"; it must be a status code, as \"UNAVAILABLE\" or 14",
            ),
            (
                r#""retryableStatusCodes": [17]"#,
                "retryableStatusCodes[0]: found 17; it must be a status code, as \"UNAVAILABLE\" or 14",
            ),
        ] {
            refused(&retry(change), &format!("{AT}.{error}"));
        }
        refused(
            &of_method(r#""retryPolicy": {"maxAttempts": 2}"#),
            &format!(
                "{AT}.retryableStatusCodes: found nothing; it must be an array of at least one status code"
            ),
        );
        refused(
            &retry(r#""maxAttempts": 2}, "hedgingPolicy": {"maxAttempts": 2"#),
            "methodConfig[0].hedgingPolicy: found {\"maxAttempts\":2}; it must be left out, since the method has a \
             retryPolicy",
        );
    }
}
