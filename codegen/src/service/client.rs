//! The source of a client.

use prost_build::Method;

use super::{Kind, Rpc, Source, allow_name, document};

impl Source<'_> {
    /// The client's type with a method for each rpc.
    pub(super) fn client(&self) -> String {
        let Self { client, rpcs, .. } = self;
        let (lariat, full_name, count) = (&self.options.lariat_path, self.full_name(), rpcs.len());
        let documentation =
            document(&self.service.comments, 0, &[&format!("This is the client of `{full_name}`.")]);
        let (deprecated, lints) = match self.service.options.deprecated() {
            true => ("#[deprecated]\n", "dead_code, deprecated"),
            false => ("", "dead_code"),
        };
        let path =
            |rpc: &Rpc| format!("            channel.method(\"/{full_name}/{}\"),\n", rpc.method.proto_name);
        let paths: String = rpcs.iter().map(path).collect();
        let methods: String = (0..).zip(rpcs).map(|(index, rpc)| self.client_method(index, rpc)).collect();
        format!(
            r#"{documentation}{deprecated}#[allow(dead_code)]
#[derive(Clone, Debug)]
pub struct {client} {{
    channel: {lariat}::Channel,
    methods: ::std::sync::Arc<[{lariat}::client::Method; {count}]>,
}}
#[allow({lints})]
impl {client} {{
    /// The full name of the service.
    pub const SERVICE: &'static str = "{full_name}";
    /// A client that calls over `channel`. It is cheap to make and to clone.
    pub fn new(channel: {lariat}::Channel) -> Self {{
        let methods = ::std::sync::Arc::new([
{paths}        ]);
        Self {{ channel, methods }}
    }}
{methods}}}
"#
        )
    }

    fn client_method(&self, index: usize, rpc: &Rpc) -> String {
        let Rpc { name, method } = rpc;
        let Method { input_type, output_type, .. } = method;
        let (lariat, codec, function) = (&self.options.lariat_path, self.codec(), rpc.kind().function());
        let unary = format!("{lariat}::UnaryCall<{output_type}>");
        let inbound = format!("{lariat}::Inbound<{output_type}>");
        let outbound = format!("{lariat}::Outbound<{input_type}>");
        let (request, returned) = match rpc.kind() {
            Kind::Unary => (input_type.as_str(), unary),
            Kind::ServerStreaming => (input_type.as_str(), inbound),
            Kind::ClientStreaming => ("()", format!("({outbound}, {unary})")),
            Kind::BidiStreaming => ("()", format!("({outbound}, {inbound})")),
        };
        let documentation = document(&method.comments, 1, &[]);
        let deprecated = if method.options.deprecated() { "    #[deprecated]\n" } else { "" };
        let allow = allow_name(name);
        let request = format!("impl {lariat}::IntoRequest<{request}>");
        format!(
            r#"{documentation}{deprecated}{allow}    pub fn {name}(&self, request: {request}) -> {returned} {{
        let request = {lariat}::IntoRequest::into_request(request);
        self.channel.{function}::<{codec}, _, _>(&self.methods[{index}], request)
    }}
"#
        )
    }
}
