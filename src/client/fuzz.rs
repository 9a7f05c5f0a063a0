//! Bodies of the fuzz targets of the client. They panic if what must hold does not.

use super::balancer;
use super::resolver::Registry;
use super::service_config::ServiceConfig;
use super::target::Target;

/// Any text is a target or an error that names it. A target names something to connect to, and is read as the same
/// again when it is printed, unless its parts hold what had to be percent-encoded.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let registry = Registry::default();
    let target = match Target::parse(text, &registry) {
        Ok(target) => target,
        Err(error) => {
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
            return;
        }
    };
    assert!(registry.get(&target.scheme).is_some());
    assert!(!target.endpoint().is_empty());
    assert!(registry.default_authority(&target).bytes().all(|octet| matches!(octet, b'!'..=b'~')));
    let is_plain = |part: &str| !part.contains(|c: char| c.is_ascii_control() || "%?#".contains(c));
    if is_plain(&target.path) && is_plain(&target.authority) && !target.authority.contains('/') {
        assert_eq!(Target::parse(&target.to_string(), &registry), Ok(target));
    }
}

/// What a DNS server may send is read within its bounds, or refused.
#[cfg(feature = "dns-client")]
pub fn dns_answer(data: &[u8]) {
    super::resolver::dns_answer(data);
}

/// Any text is a service config or an error that says what must be. What was read has sense, and any path can be looked
/// up in it.
pub fn service_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = match ServiceConfig::parse(text, &balancer::Registry::default()) {
        Ok(config) => config,
        Err(error) => return assert!(error.to_string().contains("; it must be "), "{error}"),
    };
    if let Some(throttling) = config.retry_throttling {
        assert!((1..=1000).contains(&throttling.max_tokens) && throttling.token_ratio_thousandths > 0);
    }
    assert_ne!(config.max_connections_per_subchannel, Some(0));
    for path in ["/a.B/C", "/a.B/", "/", "", text] {
        let _ = config.method(path);
    }
}
