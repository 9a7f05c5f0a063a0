//! `passthrough:endpoint`: the endpoint is the address itself, with no default for anything.

use super::dns::Host;
use super::{ResolutionSender, Resolver, ResolverBuilder, require_bare};
use crate::client::target::{Target, TargetError};

/// Targets that are addresses: `ip:port`, or `host:port`, whose host the system then looks up as it does for any
/// program that connects to a name.
#[derive(Clone, Copy, Debug)]
pub struct Passthrough;

impl ResolverBuilder for Passthrough {
    fn scheme(&self) -> &str {
        "passthrough"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        require_bare(target, "write passthrough:///host:port")?;
        match Host::parse(target.endpoint(), None) {
            Ok(host) => Ok(host.into_resolver()),
            Err(why) => Err(TargetError::new(target, why, "write passthrough:///host:port")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Work, addresses, resolve};

    #[test]
    fn an_address_is_passed_through() {
        assert_eq!(addresses("passthrough:///127.0.0.1:80"), ["127.0.0.1:80"]);
        assert_eq!(addresses("passthrough:[::1]:80"), ["[::1]:80"]);
    }

    #[test]
    fn a_name_is_left_to_the_system() {
        assert!(matches!(resolve("passthrough:///localhost:80"), Ok(Work::Blocking(_))));
    }

    #[test]
    fn the_port_is_required() {
        for target in ["passthrough:///localhost", "passthrough:///127.0.0.1", "passthrough:///::1"] {
            let error = resolve(target).unwrap_err().to_string();
            assert!(error.contains("no port") && error.contains("passthrough:///host:port"), "{error}");
        }
    }
}
