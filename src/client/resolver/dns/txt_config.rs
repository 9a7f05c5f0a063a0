//! The choice of a service config among those that a TXT record offers (gRFC A2).
//!
//! The record of `_grpc_config.<host>` is `grpc_config=` and a list in JSON, of which the first choice counts that is
//! meant for this client:
//!
//! ```json
//! [{"clientLanguage": ["rust"], "percentage": 10, "clientHostName": ["host-1"], "serviceConfig": {}}]
//! ```

use crate::client::service_config::{ConfigError, Json};

/// What stands before the name of the host.
pub(super) const PREFIX: &str = "_grpc_config.";
/// What a record with choices begins with.
const ATTRIBUTE: &[u8] = b"grpc_config=";
/// The `clientLanguage` of this library.
const LANGUAGE: &str = "rust";

/// What choices are made by.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) host_name: String,
    /// From 0 to 99: a choice for so many percent of all clients, and no more, does not count.
    pub(super) percentile: u64,
}

impl Client {
    /// The service config that these texts of a host have for this client. `None`: they have none.
    pub(super) fn choose(&self, texts: &[Vec<u8>]) -> Result<Option<String>, ConfigError> {
        let Some(list) = texts.iter().find_map(|text| text.strip_prefix(ATTRIBUTE)) else { return Ok(None) };
        let value = serde_json::from_slice(list).map_err(|error| ConfigError::no_json(&error))?;
        for choice in Json::document(&value).items()? {
            if self.is_meant_by(&choice)? {
                let config = choice.required("serviceConfig", "an object")?;
                config.fields()?;
                return Ok(Some(config.value().to_string()));
            }
        }
        Ok(None)
    }

    fn is_meant_by(&self, choice: &Json<'_>) -> Result<bool, ConfigError> {
        let percentage = match choice.field("percentage")? {
            Some(percentage) => percentage.whole(0..=100)?,
            None => 100,
        };
        let is_named = |list: Option<Json<'_>>, name: &str| match list {
            None => Ok(true),
            Some(list) => {
                let names = list.items()?.iter().map(Json::string).collect::<Result<Vec<_>, _>>()?;
                Ok(names.is_empty() || names.iter().any(|other| other.eq_ignore_ascii_case(name)))
            }
        };
        Ok(is_named(choice.field("clientLanguage")?, LANGUAGE)?
            && is_named(choice.field("clientHostName")?, &self.host_name)?
            && self.percentile < percentage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(text: &str) -> Result<Option<String>, String> {
        let client = Client { host_name: "host-1".to_owned(), percentile: 30 };
        client.choose(&[b"v=spf1".to_vec(), text.as_bytes().to_vec()]).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_choice_that_is_meant_for_this_client_counts() {
        for (choices, chosen) in [
            (r#"[{"serviceConfig": {"a": 1}}, {"serviceConfig": {"a": 2}}]"#, Some(1)),
            (
                r#"[{"clientLanguage": ["go"], "serviceConfig": {"a": 1}}, {"serviceConfig": {"a": 2}}]"#,
                Some(2),
            ),
            (r#"[{"clientLanguage": ["go", "RUST"], "serviceConfig": {"a": 1}}]"#, Some(1)),
            (r#"[{"clientLanguage": [], "serviceConfig": {"a": 1}}]"#, Some(1)),
            (r#"[{"clientHostName": ["host-2"], "serviceConfig": {"a": 1}}]"#, None),
            (r#"[{"clientHostName": ["host-2", "host-1"], "serviceConfig": {"a": 1}}]"#, Some(1)),
            (r#"[{"percentage": 30, "serviceConfig": {"a": 1}}]"#, None),
            (r#"[{"percentage": 31, "serviceConfig": {"a": 1}}]"#, Some(1)),
            (r#"[{"percentage": 0, "serviceConfig": {"a": 1}}]"#, None),
            (r#"[{"percentage": 100, "clientLanguage": ["go"], "serviceConfig": {"a": 1}}]"#, None),
            ("[]", None),
        ] {
            let chosen = chosen.map(|a| format!(r#"{{"a":{a}}}"#));
            assert_eq!(choose(&format!("grpc_config={choices}")), Ok(chosen), "{choices}");
        }
    }

    #[test]
    fn other_texts_are_no_service_config() {
        for text in ["", "grpc_config", "GRPC_CONFIG=[]", " grpc_config=[]"] {
            assert_eq!(choose(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn errors_say_what_must_be() {
        for (choices, part) in [
            ("", "JSON"),
            ("{}", "must be an array"),
            ("[1]", "[0]"),
            (r#"[{}]"#, "[0].serviceConfig"),
            (r#"[{"serviceConfig": []}]"#, "must be an object"),
            (r#"[{"percentage": 101, "serviceConfig": {}}]"#, "[0].percentage"),
            (r#"[{"clientLanguage": "rust", "serviceConfig": {}}]"#, "[0].clientLanguage"),
            (r#"[{"clientHostName": [1], "serviceConfig": {}}]"#, "[0].clientHostName[0]"),
        ] {
            let error = choose(&format!("grpc_config={choices}")).unwrap_err();
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}
