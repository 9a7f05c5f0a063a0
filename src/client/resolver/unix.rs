//! `unix:path`, `unix:///path` and `unix-abstract:name`: a server on the same machine.

use super::{Fixed, Resolution, ResolutionSender, Resolver, ResolverBuilder, require_bare};
use crate::client::target::{Target, TargetError};
use crate::net::Address;

/// What a server on a Unix socket is called in `:authority`, as a path is no host.
const AUTHORITY: &str = "localhost";

/// Targets that are paths of Unix sockets.
#[derive(Clone, Copy, Debug)]
pub struct Unix;

/// Targets that are names in Linux's abstract socket namespace.
#[derive(Clone, Copy, Debug)]
pub struct UnixAbstract;

impl ResolverBuilder for Unix {
    fn scheme(&self) -> &str {
        "unix"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        require_bare(target, "write unix:/absolute/path or unix:relative/path")?;
        if target.path.contains('\0') {
            return Err(TargetError::new(
                target,
                "a path cannot contain NUL",
                "use unix-abstract for abstract names",
            ));
        }
        Ok(fixed(Address::Unix(target.path.clone().into())))
    }

    fn default_authority(&self, _: &Target) -> String {
        AUTHORITY.to_owned()
    }
}

impl ResolverBuilder for UnixAbstract {
    fn scheme(&self) -> &str {
        "unix-abstract"
    }

    fn build(&self, target: &Target, _: ResolutionSender) -> Result<Box<dyn Resolver>, TargetError> {
        require_bare(target, "write unix-abstract:name")?;
        Ok(fixed(Address::UnixAbstract(target.path.clone().into_bytes())))
    }

    fn default_authority(&self, _: &Target) -> String {
        AUTHORITY.to_owned()
    }
}

fn fixed(address: Address) -> Box<dyn Resolver> {
    Box::new(Fixed(Resolution::from_iter([address])))
}

#[cfg(test)]
mod tests {
    use super::super::{addresses, resolve};

    #[test]
    fn paths_and_names_resolve_to_themselves() {
        assert_eq!(addresses("unix:///run/socket"), ["unix:/run/socket"]);
        assert_eq!(addresses("unix:/run/socket"), ["unix:/run/socket"]);
        assert_eq!(addresses("unix:run/socket"), ["unix:run/socket"]);
        assert_eq!(addresses("unix-abstract:a%00b"), ["unix-abstract:a\0b"]);
    }

    #[test]
    fn an_authority_is_refused_as_the_slash_that_is_too_few() {
        let error = resolve("unix://run/socket").unwrap_err().to_string();
        assert!(error.contains("authority, \"run\"") && error.contains("unix:/absolute/path"), "{error}");
        let error = resolve("unix-abstract://a/b").unwrap_err().to_string();
        assert!(error.contains("unix-abstract:name"), "{error}");
    }

    #[test]
    fn a_query_or_a_nul_in_a_path_is_refused() {
        assert!(resolve("unix:/run/a?b").unwrap_err().to_string().contains("%3F"));
        assert!(resolve("unix:/run/a%00b").unwrap_err().to_string().contains("NUL"));
    }
}
