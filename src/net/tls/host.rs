//! The name in an `:authority` that a certificate has to be for.

/// The host in an authority (RFC 3986 §3.2.2): without port, and an IPv6 literal without its brackets.
pub(crate) fn host_of(authority: &str) -> &str {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(literal) = authority.strip_prefix('[') {
        return literal.split_once(']').map_or(literal, |(host, _)| host);
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_authority_has_no_port_and_no_brackets() {
        for (authority, host) in [
            ("foo.example", "foo.example"),
            ("foo.example:443", "foo.example"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("user@foo:1", "foo"),
        ] {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }
}
