//! The `content-type` of gRPC: `application/grpc`, perhaps with `+` and a subtype (PROTOCOL-HTTP2.md, "Requests").

/// The content type without a subtype; messages are protobuf then.
pub(crate) const GRPC: &str = "application/grpc";

/// The content type for a codec's subtype; for the empty one, the short form.
pub(crate) fn of_subtype(subtype: &str) -> String {
    match subtype {
        "" => GRPC.to_owned(),
        subtype => format!("{GRPC}+{subtype}"),
    }
}

/// The subtype that a content type names (empty if it names none), or `None` if the content is not gRPC.
pub(crate) fn subtype(content_type: &[u8]) -> Option<&[u8]> {
    let (base, rest) = content_type.split_at_checked(GRPC.len())?;
    if !base.eq_ignore_ascii_case(GRPC.as_bytes()) {
        return None;
    }
    match rest.split_first() {
        None => Some(b""),
        Some((b'+', rest)) => rest.split(|octet| *octet == b';').next().map(<[u8]>::trim_ascii),
        Some((b';', _)) => Some(b""),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subtype_is_what_follows_the_plus() {
        assert_eq!(subtype(b"application/grpc"), Some(&b""[..]));
        assert_eq!(subtype(b"application/grpc+proto"), Some(&b"proto"[..]));
        assert_eq!(subtype(b"application/grpc+json; charset=utf-8"), Some(&b"json"[..]));
        assert_eq!(subtype(b"application/grpc;v=1"), Some(&b""[..]));
        assert_eq!(subtype(b"Application/gRPC"), Some(&b""[..]));
        assert_eq!(subtype(b"application/grpc+"), Some(&b""[..]));
    }

    #[test]
    fn other_types_are_not_grpc() {
        for value in [
            "",
            "text/html",
            "application/grp",
            "application/grpc-web",
            "application/grpcx",
            "application/json",
        ] {
            assert_eq!(subtype(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn the_short_form_is_written_without_a_subtype() {
        assert_eq!(of_subtype(""), "application/grpc");
        assert_eq!(of_subtype("json"), "application/grpc+json");
    }
}
