//! `RequestHead`: the header block of a request, written and read (PROTOCOL-HTTP2.md, "Requests").

use std::time::Duration;

use lariat_frame::hpack::{HeaderList, Indexing};

use super::binary;
use super::content_type;
use super::quoted::Quoted;
use super::response_head;
use super::status::Status;
use super::timeout;
use super::trailers;

/// What every request for this method on this channel begins with. To be made once and sent many times; what differs
/// from call to call comes behind it ([`push_timeout`], metadata).
///
/// `path` is `/service/method`, `scheme` is `http` or `https`, `subtype` is the codec's.
pub(crate) fn template(
    path: &str,
    scheme: &str,
    authority: &str,
    user_agent: &str,
    subtype: &str,
) -> HeaderList {
    let mut list = HeaderList::new();
    let content_type = content_type::of_subtype(subtype);
    for (name, value) in [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", &content_type),
        ("user-agent", user_agent),
    ] {
        list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
    }
    list
}

/// The `user-agent` of this library, with an application's own in front if there is one.
pub(crate) fn user_agent(application: Option<&str>) -> String {
    let library = concat!("grpc-rust-lariat/", env!("CARGO_PKG_VERSION"));
    match application {
        Some(application) => format!("{application} {library}"),
        None => library.to_owned(),
    }
}

/// Appends `grpc-timeout`.
pub(crate) fn push_timeout(timeout: Duration, out: &mut HeaderList) {
    // It hardly repeats: the table has no use for it.
    out.push(b"grpc-timeout", &timeout::encode(timeout), Indexing::Skip);
}

/// Appends `grpc-encoding`: the algorithm of this request's compressed messages.
pub(crate) fn push_encoding(encoding: &str, out: &mut HeaderList) {
    out.push(b"grpc-encoding", encoding.as_bytes(), Indexing::Index);
}

/// Appends `grpc-accept-encoding`: the algorithms that the response may use, separated by commas.
pub(crate) fn push_accept_encoding(encodings: &str, out: &mut HeaderList) {
    out.push(b"grpc-accept-encoding", encodings.as_bytes(), Indexing::Index);
}

/// The service and the method of a path `/service/method`, or `None` if it is none.
pub(crate) fn split_path(path: &str) -> Option<(&str, &str)> {
    let name = path.strip_prefix('/')?;
    // Method names are short: looking from the end is the shorter way.
    let slash = name.bytes().rposition(|octet| octet == b'/')?;
    let (service, method) = (name.get(..slash)?, name.get(slash + 1..)?);
    (!service.is_empty() && !method.is_empty()).then_some((service, method))
}

/// What a server has to know of a request to route it. Its metadata is `Metadata::received(..)` of the same list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead<'a> {
    /// `/service/method`.
    pub path: &'a str,
    /// `:authority`, or `host` in its place.
    pub authority: Option<&'a [u8]>,
    /// How long the caller waits, counted from the arrival. Not zero.
    pub timeout: Option<Duration>,
    /// What follows the `+` of the content type; empty for none.
    pub subtype: &'a [u8],
    /// The algorithm of compressed messages; `None` for identity.
    pub encoding: Option<&'a [u8]>,
    /// The algorithms that the response may use, separated by commas.
    pub accept_encoding: Option<&'a [u8]>,
    service: &'a str,
    method: &'a str,
}

/// The answer to a request that cannot be served: one header block, perhaps a line of text, and the end of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    /// The value of `:status`; 200 if the request was valid HTTP for gRPC.
    pub http_status: u16,
    /// The outcome of the call.
    pub status: Status,
    /// The algorithms this server knows, if the request used another: the value of `grpc-accept-encoding`.
    pub accept_encoding: Option<String>,
    /// The content of the answer, if the request is not gRPC's: whoever sent it reads text, not `grpc-status`.
    pub text: Option<String>,
}

impl Rejection {
    #[cold]
    fn new(http_status: u16, status: Status) -> Self {
        Self { http_status, status, accept_encoding: None, text: None }
    }

    /// A rejection of a request that no gRPC client can have sent, by its method or content type.
    #[cold]
    fn not_grpc(http_status: u16, status: Status, method: &[u8]) -> Self {
        // The answer to HEAD has no content (RFC 9110 §9.3.2).
        let text = (method != b"HEAD").then(|| format!("This is a gRPC server: {}.\n", status.message()));
        Self { text, ..Self::new(http_status, status) }
    }

    /// Appends the header block of the response; `text` follows as its content.
    pub(crate) fn write_to(&self, out: &mut HeaderList) {
        match self.text {
            Some(_) => response_head::push_head(self.http_status, "text/plain; charset=utf-8", out),
            None => response_head::push_status(self.http_status, "", out),
        }
        if self.http_status == 405 {
            // RFC 9110 §15.5.6 asks for it.
            out.push(b"allow", b"POST", Indexing::Skip);
        }
        if let Some(accepted) = &self.accept_encoding {
            out.push(b"grpc-accept-encoding", accepted.as_bytes(), Indexing::Skip);
        }
        trailers::write(&self.status, out);
    }

    #[cold]
    fn too_large() -> Self {
        let message =
            "the request's headers are larger than this server accepts; max_header_list_size sets the limit";
        Self::new(431, Status::resource_exhausted(message))
    }

    #[cold]
    fn wrong_content_type(found: Option<&[u8]>, method: &[u8]) -> Self {
        let message = match found {
            Some(found) => format!("content-type \"{}\" is not application/grpc", Quoted(found)),
            None => "the request has no content-type; gRPC's is application/grpc".to_owned(),
        };
        Self::not_grpc(415, Status::invalid_argument(message), method)
    }
}

impl From<Status> for Rejection {
    /// A rejection of a request that is valid HTTP.
    fn from(status: Status) -> Self {
        Self::new(200, status)
    }
}

impl<'a> RequestHead<'a> {
    /// Reads the header block of a request, checking what makes it a gRPC request.
    pub(crate) fn parse(headers: &'a HeaderList) -> Result<Self, Rejection> {
        let mut fields = Fields::default();
        for field in headers.iter() {
            fields.take(field.name, field.value);
        }
        if headers.is_truncated() {
            return Err(Rejection::too_large());
        }
        fields.check()
    }

    /// The full name of the service, as `helloworld.Greeter`.
    pub(crate) fn service(&self) -> &'a str {
        self.service
    }

    /// The name of the method, as `SayHello`.
    pub(crate) fn method(&self) -> &'a str {
        self.method
    }

    /// Checks that this server knows the algorithm of the request's compressed messages. `supported` lists what it
    /// knows, separated by commas.
    pub(crate) fn check_encoding(&self, supported: &str) -> Result<(), Rejection> {
        let Some(encoding) = self.encoding else {
            return Ok(());
        };
        if supported.split(',').any(|name| name.trim().as_bytes() == encoding) {
            return Ok(());
        }
        let message = format!("grpc-encoding \"{}\" is not supported by this server", Quoted(encoding));
        Err(Rejection {
            accept_encoding: Some(supported.to_owned()),
            ..Rejection::from(Status::unimplemented(message))
        })
    }
}

/// The fields of a request that mean something here, as they were found.
#[derive(Default)]
struct Fields<'a> {
    method: &'a [u8],
    path: &'a [u8],
    authority: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    timeout: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
    accept_encoding: Option<&'a [u8]>,
    /// There was more than one `:authority` or more than one `host`.
    has_two_authorities: bool,
    /// The name of a binary field that is not base64.
    malformed_binary: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    #[inline]
    fn take(&mut self, name: &'a [u8], value: &'a [u8]) {
        match name {
            b":method" => self.method = value,
            b":path" => self.path = value,
            b":authority" => self.has_two_authorities |= self.authority.replace(value).is_some(),
            b"host" => self.has_two_authorities |= self.host.replace(value).is_some(),
            b"content-type" => self.content_type = Some(value),
            b"grpc-timeout" => self.timeout = Some(value),
            b"grpc-encoding" if value != b"identity" => self.encoding = Some(value),
            b"grpc-accept-encoding" => self.accept_encoding = Some(value),
            _ if binary::is_malformed(name, value) => self.malformed_binary = Some(name),
            _ => {}
        }
    }

    /// The checks, in the order in which gRPC servers make them.
    fn check(self) -> Result<RequestHead<'a>, Rejection> {
        if self.has_two_authorities {
            return Err(Rejection::new(
                400,
                Status::internal("the request has more than one :authority or host"),
            ));
        }
        let Some(subtype) = self.content_type.and_then(content_type::subtype) else {
            return Err(Rejection::wrong_content_type(self.content_type, self.method));
        };
        let timeout = match self.timeout.map(timeout::decode).transpose() {
            Ok(timeout) => timeout,
            Err(error) => return Err(Rejection::new(400, Status::internal(error.to_string()))),
        };
        if let Some(name) = self.malformed_binary {
            let message = format!("the request's {} is not base64", Quoted(name));
            return Err(Rejection::new(400, Status::internal(message)));
        }
        if self.method != b"POST" {
            let message = format!("the request's method is {}; gRPC uses POST alone", Quoted(self.method));
            return Err(Rejection::not_grpc(405, Status::internal(message), self.method));
        }
        if timeout == Some(Duration::ZERO) {
            return Err(
                Status::deadline_exceeded("the deadline had passed before the request arrived").into()
            );
        }
        let path = std::str::from_utf8(self.path).ok();
        let Some((path, (service, method))) = path.and_then(|path| Some((path, split_path(path)?))) else {
            let message = format!("malformed method name: \"{}\" is not /service/method", Quoted(self.path));
            return Err(Status::unimplemented(message).into());
        };
        Ok(RequestHead {
            path,
            service,
            method,
            authority: self.authority.or(self.host),
            timeout,
            subtype,
            encoding: self.encoding,
            accept_encoding: self.accept_encoding,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::*;

    const VALID: [(&str, &str); 6] = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/helloworld.Greeter/SayHello"),
        (":authority", "localhost:50051"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];

    fn list(fields: &[(&str, &str)]) -> HeaderList {
        let mut list = HeaderList::new();
        for (name, value) in fields {
            list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        list
    }

    /// The valid request with one field more, or with one field changed (removed if the value is empty).
    fn with(name: &str, value: &str) -> HeaderList {
        let mut fields = VALID.to_vec();
        match fields.iter_mut().find(|field| field.0 == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
        fields.retain(|field| !field.1.is_empty());
        list(&fields)
    }

    fn rejected(headers: &HeaderList) -> (u16, Code) {
        let rejection = RequestHead::parse(headers).unwrap_err();
        (rejection.http_status, rejection.status.code())
    }

    #[test]
    fn what_a_client_writes_a_server_reads() {
        let mut headers = template("/helloworld.Greeter/SayHello", "https", "example.com", "test/1", "json");
        push_timeout(Duration::from_secs(1), &mut headers);
        push_encoding("gzip", &mut headers);
        push_accept_encoding("gzip,identity", &mut headers);
        let head = RequestHead::parse(&headers).unwrap();
        assert_eq!(
            head,
            RequestHead {
                path: "/helloworld.Greeter/SayHello",
                service: "helloworld.Greeter",
                method: "SayHello",
                authority: Some(b"example.com"),
                timeout: Some(Duration::from_secs(1)),
                subtype: b"json",
                encoding: Some(b"gzip"),
                accept_encoding: Some(b"gzip,identity"),
            }
        );
    }

    #[test]
    fn a_request_begins_in_the_order_of_the_protocol() {
        let headers = template("/a/b", "http", "host", "agent", "");
        let names: Vec<_> =
            headers.iter().map(|field| String::from_utf8_lossy(field.name).into_owned()).collect();
        assert_eq!(names, [":method", ":scheme", ":path", ":authority", "te", "content-type", "user-agent"]);
        assert!(headers.iter().all(|field| field.indexing == Indexing::Index));
    }

    #[test]
    fn what_differs_from_call_to_call_stays_out_of_the_table() {
        let mut headers = HeaderList::new();
        push_timeout(Duration::from_millis(1), &mut headers);
        assert!(headers.iter().all(|field| field.indexing == Indexing::Skip));
    }

    #[test]
    fn te_and_authority_may_be_missing() {
        assert!(RequestHead::parse(&with("te", "")).is_ok());
        assert_eq!(RequestHead::parse(&with(":authority", "")).unwrap().authority, None);
    }

    #[test]
    fn host_stands_in_for_a_missing_authority_only() {
        assert_eq!(
            RequestHead::parse(&with("host", "other")).unwrap().authority,
            Some(&b"localhost:50051"[..])
        );
        let mut fields = VALID.to_vec();
        fields[3] = ("host", "other");
        assert_eq!(RequestHead::parse(&list(&fields)).unwrap().authority, Some(&b"other"[..]));
    }

    #[test]
    fn two_authorities_or_two_hosts_are_a_bad_request() {
        for name in [":authority", "host"] {
            let mut headers = with("host", "a");
            headers.push(name.as_bytes(), b"b", Indexing::Index);
            assert_eq!(rejected(&headers), (400, Code::Internal), "{name}");
        }
    }

    #[test]
    fn another_method_than_post_is_not_allowed() {
        assert_eq!(rejected(&with(":method", "GET")), (405, Code::Internal));
    }

    #[test]
    fn another_content_type_is_unsupported() {
        assert_eq!(rejected(&with("content-type", "application/json")), (415, Code::InvalidArgument));
        assert_eq!(rejected(&with("content-type", "")), (415, Code::InvalidArgument));
        assert_eq!(
            RequestHead::parse(&with("content-type", "application/grpc+proto")).unwrap().subtype,
            b"proto"
        );
    }

    #[test]
    fn a_malformed_timeout_or_binary_field_is_a_bad_request() {
        assert_eq!(rejected(&with("grpc-timeout", "1x")), (400, Code::Internal));
        assert_eq!(rejected(&with("trace-bin", "YQ,!")), (400, Code::Internal));
        assert!(RequestHead::parse(&with("trace-bin", "YQ,YQ==")).is_ok());
    }

    #[test]
    fn a_timeout_of_zero_has_passed() {
        assert_eq!(rejected(&with("grpc-timeout", "0S")), (200, Code::DeadlineExceeded));
    }

    #[test]
    fn a_path_that_is_not_service_and_method_is_unimplemented() {
        for path in ["/", "//", "/a", "a/b", "/a/", "//b", "*", "/helloworld.Greeter"] {
            assert_eq!(rejected(&with(":path", path)), (200, Code::Unimplemented), "{path:?}");
        }
        assert_eq!(split_path("/a/b/c"), Some(("a/b", "c")));
        let rejection = RequestHead::parse(&with(":path", "nonsense")).unwrap_err();
        assert!(rejection.status.message().starts_with("malformed method name"), "{}", rejection.status);
    }

    #[test]
    fn a_rejection_is_short_however_long_what_it_is_about() {
        let long = "\"".repeat(3_850);
        let answers = [":path", "content-type", ":method", "grpc-encoding"].map(|name| {
            let headers = with(name, &long);
            match RequestHead::parse(&headers) {
                Ok(head) => head.check_encoding("gzip").unwrap_err(),
                Err(rejection) => rejection,
            }
        });
        for rejection in answers {
            let mut headers = HeaderList::new();
            rejection.write_to(&mut headers);
            let octets = headers.iter().map(|field| field.value.len()).sum::<usize>();
            assert!(octets + rejection.text.map_or(0, |text| text.len()) < 1_000, "{}", rejection.status);
        }
    }

    #[test]
    fn the_content_type_is_judged_before_the_method() {
        let mut fields = VALID.to_vec();
        fields[0].1 = "GET";
        fields[5].1 = "text/html";
        assert_eq!(rejected(&list(&fields)).0, 415);
    }

    #[test]
    fn what_no_grpc_client_sends_is_answered_by_text_unless_the_method_is_head() {
        let rejection = |method: &str, content_type: &str| {
            let mut fields = VALID.to_vec();
            (fields[0].1, fields[5].1) = (method, content_type);
            RequestHead::parse(&list(&fields)).unwrap_err()
        };
        for (method, content_type) in [("GET", "text/html"), ("GET", "application/grpc"), ("POST", "a/b")] {
            let rejection = rejection(method, content_type);
            assert!(
                rejection.text.as_ref().is_some_and(|text| text.contains("gRPC") && text.ends_with('\n'))
            );
            let mut headers = HeaderList::new();
            rejection.write_to(&mut headers);
            assert_eq!(headers.get(b"content-type"), Some(&b"text/plain; charset=utf-8"[..]));
            assert_eq!(headers.get(b"allow").is_some(), rejection.http_status == 405);
            assert!(headers.get(b"grpc-status").is_some());
        }
        for content_type in ["text/html", "application/grpc"] {
            assert_eq!(rejection("HEAD", content_type).text, None);
        }
    }

    #[test]
    fn headers_over_the_limit_are_refused() {
        let mut headers = HeaderList::with_limit(200);
        for (name, value) in VALID {
            headers.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        assert!(headers.is_truncated());
        assert_eq!(rejected(&headers), (431, Code::ResourceExhausted));
    }

    #[test]
    fn identity_is_no_encoding() {
        assert_eq!(RequestHead::parse(&with("grpc-encoding", "identity")).unwrap().encoding, None);
    }

    #[test]
    fn an_unknown_encoding_is_unimplemented_and_the_known_ones_are_told() {
        let headers = with("grpc-encoding", "snappy");
        let head = RequestHead::parse(&headers).unwrap();
        assert!(head.check_encoding("gzip, snappy").is_ok());
        let rejection = head.check_encoding("gzip").unwrap_err();
        assert_eq!((rejection.http_status, rejection.status.code()), (200, Code::Unimplemented));
        assert_eq!(rejection.accept_encoding.as_deref(), Some("gzip"));
    }

    #[test]
    fn the_user_agent_has_the_form_that_grpc_asks_for() {
        assert!(user_agent(None).starts_with("grpc-rust-lariat/"));
        assert!(user_agent(Some("shop/2.0")).starts_with("shop/2.0 grpc-rust-lariat/"));
    }
}
