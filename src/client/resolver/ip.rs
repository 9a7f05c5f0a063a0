//! `ipv4:address[:port][,address[:port],...]` and `ipv6:[address]:port,...`: a fixed list of addresses.

use super::dns::{DEFAULT_PORT, Host};
use super::{Fixed, Resolution, ResolutionSender, Resolver, ResolverBuilder, require_bare};
use crate::client::target::{Target, TargetError};
use crate::net::Address;

/// Targets that are lists of IPv4 addresses. Each is a backend of its own.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4;

/// Targets that are lists of IPv6 addresses. Each is a backend of its own.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6;

impl ResolverBuilder for Ipv4 {
    fn scheme(&self) -> &str {
        "ipv4"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        fixed(target, "ipv4:10.0.0.1:50051,10.0.0.2:50051", |address| address.is_ipv4())
    }
}

impl ResolverBuilder for Ipv6 {
    fn scheme(&self) -> &str {
        "ipv6"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        fixed(target, "ipv6:[2001:db8::1]:50051,[2001:db8::2]:50051", |address| address.is_ipv6())
    }
}

fn fixed(
    target: &Target,
    example: &str,
    is_of_family: impl Fn(&std::net::SocketAddr) -> bool,
) -> Result<Box<dyn Resolver>, TargetError> {
    let advice = format!("write {example}");
    require_bare(target, &advice)?;
    let parse = |text: &str| match Host::parse(text, Some(DEFAULT_PORT)) {
        Ok(Host::Literal(address)) if is_of_family(&address) => Ok(Address::Tcp(address)),
        Ok(_) => Err(format!("\"{text}\" is not an address of the family \"{}\"", target.scheme)),
        Err(why) => Err(format!("of \"{text}\": {why}")),
    };
    let addresses: Result<Resolution, String> = target.endpoint().split(',').map(parse).collect();
    match addresses {
        Ok(resolution) => Ok(Box::new(Fixed(resolution))),
        Err(why) => Err(TargetError::new(target, why, advice)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{addresses, resolve};

    #[test]
    fn a_list_of_addresses_resolves_to_itself() {
        assert_eq!(addresses("ipv4:10.0.0.1:80,10.0.0.2"), ["10.0.0.1:80", "10.0.0.2:443"]);
        assert_eq!(addresses("ipv4:///10.0.0.1:80"), ["10.0.0.1:80"]);
        assert_eq!(addresses("ipv6:[::1]:80,::2"), ["[::1]:80", "[::2]:443"]);
        assert_eq!(addresses("ipv6:%5B::1%5D:80"), ["[::1]:80"]);
    }

    #[test]
    fn what_is_no_address_of_the_family_is_refused() {
        for (target, part) in [
            ("ipv4:10.0.0.1,foo:80", "\"foo:80\" is not an address of the family \"ipv4\""),
            ("ipv4:[::1]:80", "\"[::1]:80\" is not an address of the family \"ipv4\""),
            ("ipv6:10.0.0.1:80", "\"10.0.0.1:80\" is not an address of the family \"ipv6\""),
            ("ipv4:10.0.0.1:99999", "of \"10.0.0.1:99999\": the port"),
            ("ipv4:10.0.0.1,", "is not an address of the family"),
            ("ipv4://a/10.0.0.1", "write ipv4:10.0.0.1:50051,10.0.0.2:50051"),
        ] {
            let error = resolve(target).unwrap_err().to_string();
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}
