//! The target a channel is built for: a URI whose scheme says how the name in it is resolved.

use super::resolver::Registry;
pub use crate::error::TargetError;
use std::fmt;

/// The scheme of a target that names none.
const DEFAULT_SCHEME: &str = "dns";

/// A parsed target: `scheme:[//authority/]endpoint[?query]` (RFC 3986, and `doc/naming.md` of the gRPC repository).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Which resolver is asked; lower case.
    pub scheme: String,
    /// Whom the resolver should ask, if not empty; percent-decoded. Not the `:authority` of calls, for which see
    /// [`Registry::default_authority`].
    pub authority: String,
    /// The path of the URI, percent-decoded. Most resolvers want it as [`endpoint`](Self::endpoint).
    pub path: String,
    /// Whatever follows the first `?`, for resolvers that have parameters; not decoded.
    pub query: String,
}

impl Target {
    /// Reads a target. One that is no URI, or whose scheme no resolver of the registry serves, is taken for a DNS name:
    /// `localhost:50051` means `dns:///localhost:50051`.
    pub fn parse(input: &str, registry: &Registry) -> Result<Target, TargetError> {
        match split_scheme(input) {
            Some((scheme, rest)) if registry.get(&scheme).is_some() => {
                Target::with_scheme(input, scheme, rest)
            }
            // As a DNS name it could only fail, and with an error that hides the cause.
            Some((scheme, rest)) if rest.starts_with("//") => Err(unknown_scheme(input, &scheme, registry)),
            _ => Target::with_scheme(input, DEFAULT_SCHEME.to_owned(), &format!("///{input}")),
        }
    }

    /// `rest` is what follows the scheme's colon.
    fn with_scheme(input: &str, scheme: String, rest: &str) -> Result<Target, TargetError> {
        let error = |why: &str, advice: &str| TargetError::new(input, why, advice);
        if let Some(control) = input.chars().find(char::is_ascii_control) {
            let why = format!("it contains the control character U+{:04X}", u32::from(control));
            return Err(error(&why, "percent-encode it if it is meant"));
        }
        if input.contains('#') {
            return Err(error(
                "it has a fragment",
                "remove what begins with '#', or write a literal '#' as %23",
            ));
        }
        let decode = |text| percent_decode(text).map_err(|why| error(why, "write a literal '%' as %25"));
        let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (written, path) = match hierarchy.strip_prefix("//") {
            Some(hierarchy) => hierarchy.split_at(hierarchy.find('/').unwrap_or(hierarchy.len())),
            None => ("", hierarchy),
        };
        let (authority, path) = (decode(written)?, decode(path)?);
        let target = Target { scheme, authority, path, query: query.to_owned() };
        match (target.endpoint(), &*target.authority) {
            ("", "") => {
                let advice = format!("write {}:///endpoint, as in dns:///localhost:50051", target.scheme);
                Err(error("it names nothing to connect to", &advice))
            }
            // What stands between the double slash and the next one was probably meant.
            ("", _) => {
                let advice = format!("write {}:///{written}", target.scheme);
                Err(error("it has an authority, but names nothing to connect to", &advice))
            }
            _ => Ok(target),
        }
    }

    /// What is resolved: the path without the slash it may begin with.
    pub fn endpoint(&self) -> &str {
        self.path.strip_prefix('/').unwrap_or(&self.path)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slashes = if self.path.starts_with('/') { "//" } else { "" };
        write!(f, "{}:{slashes}{}{}", self.scheme, self.authority, self.path)?;
        if self.query.is_empty() { Ok(()) } else { write!(f, "?{}", self.query) }
    }
}

/// A scheme that no resolver of the channel serves.
pub(crate) fn unknown_scheme(target: impl fmt::Display, scheme: &str, registry: &Registry) -> TargetError {
    let why = format!("no resolver is registered for the scheme \"{scheme}\"");
    TargetError::new(target, why, format!("register one, or use one of: {}", registry.schemes()))
}

/// The scheme in lower case and what follows its colon, if the text begins as a URI does (RFC 3986 §3.1).
fn split_scheme(input: &str) -> Option<(String, &str)> {
    let (scheme, rest) = input.split_once(':')?;
    let legal = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    legal.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// Undoes percent-encoding (RFC 3986 §2.1); the error is the reason.
pub(crate) fn percent_decode(text: &str) -> Result<String, &'static str> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let digits = tail.first_chunk::<2>().and_then(|[high, low]| {
            let digit = |octet: &u8| char::from(*octet).to_digit(16);
            u8::try_from(digit(high)? << 4 | digit(low)?).ok()
        });
        let Some(decoded) = digits else {
            return Err("a '%' is not followed by two hexadecimal digits");
        };
        octets.push(decoded);
        rest = tail.get(2..).unwrap_or_default();
    }
    String::from_utf8(octets).map_err(|_| "its percent-encoded octets are not UTF-8")
}

/// Percent-encodes what may not stand in an authority (RFC 3986 §3.2), as the `:authority` of calls needs it.
pub(crate) fn encode_authority(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => encoded.push(octet.into()),
            // The rest of unreserved, sub-delims, and what delimits user, host, port and an IPv6 literal.
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b';' | b'=' | b'[' | b']' | b':' | b'@' => encoded.push(octet.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(input: &str) -> Result<Target, TargetError> {
        Target::parse(input, &Registry::default())
    }

    #[track_caller]
    fn parsed(input: &str, scheme: &str, authority: &str, endpoint: &str) {
        let target = parse(input).unwrap();
        assert_eq!(
            (&*target.scheme, &*target.authority, target.endpoint()),
            (scheme, authority, endpoint),
            "{input}"
        );
    }

    #[test]
    fn a_registered_scheme_is_used_in_each_of_its_forms() {
        parsed("dns:foo.example:443", "dns", "", "foo.example:443");
        parsed("dns:/foo.example", "dns", "", "foo.example");
        parsed("dns:///foo.example", "dns", "", "foo.example");
        parsed("dns://8.8.8.8/foo.example:443", "dns", "8.8.8.8", "foo.example:443");
        parsed("passthrough:///10.0.0.1:80", "passthrough", "", "10.0.0.1:80");
        parsed("DNS:///foo", "dns", "", "foo");
    }

    #[test]
    fn the_path_tells_absolute_from_relative() {
        for (input, path) in [
            ("unix:relative/socket", "relative/socket"),
            ("unix:/run/socket", "/run/socket"),
            ("unix:///run/socket", "/run/socket"),
            ("unix-abstract:name", "name"),
        ] {
            assert_eq!(parse(input).unwrap().path, path, "{input}");
        }
    }

    #[test]
    fn what_has_no_registered_scheme_is_a_dns_name() {
        parsed("foo.example", "dns", "", "foo.example");
        parsed("localhost:50051", "dns", "", "localhost:50051");
        parsed("127.0.0.1:50051", "dns", "", "127.0.0.1:50051");
        parsed("[::1]:50051", "dns", "", "[::1]:50051");
        parsed(":50051", "dns", "", ":50051");
    }

    #[test]
    fn percent_encoding_is_undone() {
        parsed("unix:///run/my%20socket", "unix", "", "run/my socket");
        parsed("dns:///%66oo", "dns", "", "foo");
        parsed("dns://a%2fb/c", "dns", "a/b", "c");
    }

    #[test]
    fn the_query_is_kept_for_resolvers_that_have_parameters() {
        let target = parse("dns:///foo?tag=a%20b").unwrap();
        assert_eq!((target.endpoint(), &*target.query), ("foo", "tag=a%20b"));
    }

    #[test]
    fn a_target_prints_in_its_full_form() {
        assert_eq!(parse("localhost:1").unwrap().to_string(), "dns:///localhost:1");
        assert_eq!(parse("dns:localhost:1").unwrap().to_string(), "dns:localhost:1");
        assert_eq!(parse("unix:/run/x").unwrap().to_string(), "unix:///run/x");
        assert_eq!(parse("unix:run/x").unwrap().to_string(), "unix:run/x");
        assert_eq!(parse("dns://8.8.8.8/x?y").unwrap().to_string(), "dns://8.8.8.8/x?y");
    }

    #[test]
    fn errors_name_the_input_the_reason_and_what_would_be_right() {
        for (input, parts) in [
            ("", &["\"\"", "names nothing", "dns:///localhost:50051"][..]),
            ("dns:///", &["\"dns:///\"", "names nothing", "dns:///localhost:50051"]),
            ("unix:", &["names nothing", "unix:///endpoint"]),
            ("dns://foo:80", &["names nothing", "write dns:///foo:80"]),
            ("dns://it's%25", &["\"dns://it's%25\"", "write dns:///it's%25"]),
            ("dns:///a%zz", &["'%'", "two hexadecimal digits", "%25"]),
            ("dns:///a%4", &["two hexadecimal digits"]),
            ("dns:///a%ff", &["not UTF-8"]),
            ("dns:///a#b", &["fragment", "%23"]),
            ("dns:///a\nb", &["\\n", "U+000A"]),
            ("http://a/b", &["scheme \"http\"", "dns, passthrough, ipv4, ipv6, unix, unix-abstract"]),
        ] {
            let error = parse(input).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{error} lacks {part}");
            }
        }
    }

    #[test]
    fn no_input_makes_the_parser_panic() {
        let mut random = crate::client::random::Xorshift::new(5);
        let alphabet: Vec<char> = "dnsux-:/%?#[]@. 0aé\0".chars().collect();
        for _ in 0..20_000 {
            let length = random.next_u64() % 12;
            let text: String =
                (0..length).map(|_| alphabet[random.next_u64() as usize % alphabet.len()]).collect();
            if let Ok(target) = parse(&text) {
                assert!(!target.endpoint().is_empty());
            }
        }
    }

    #[test]
    fn an_authority_is_encoded_where_a_uri_requires_it() {
        assert_eq!(encode_authority("foo.example:443"), "foo.example:443");
        assert_eq!(encode_authority("[::1]:80"), "[::1]:80");
        assert_eq!(encode_authority("a/b é"), "a%2Fb%20%C3%A9");
    }
}
