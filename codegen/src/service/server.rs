//! The source of a server's trait, and of the type that dispatches to it.

use prost_build::Method;

use super::{Kind, Rpc, Source, allow_name, document};

impl Source<'_> {
    /// The trait with a method for each rpc.
    pub(super) fn server_trait(&self) -> String {
        let Self { trait_name, server, .. } = self;
        let about =
            format!("Implement it and hand the result to `{server}` to serve `{}`.", self.full_name());
        let mut notes = vec![about.as_str()];
        if self.service.options.deprecated() {
            notes.push("Deprecated: the `.proto` file asks callers not to use this service any more.");
        }
        let documentation = document(&self.service.comments, 0, &notes);
        let methods: String = self.rpcs.iter().map(|rpc| self.server_trait_method(rpc)).collect();
        format!(
            r#"{documentation}#[allow(dead_code)]
pub trait {trait_name}: ::core::marker::Send + ::core::marker::Sync + 'static {{
{methods}}}
"#
        )
    }

    fn server_trait_method(&self, rpc: &Rpc) -> String {
        let Rpc { name, method } = rpc;
        let Method { input_type, output_type, .. } = method;
        let lariat = &self.options.lariat_path;
        let request = format!("        request: {lariat}::Request<{input_type}>,\n");
        let inbound = format!("        inbound: {lariat}::Inbound<{input_type}>,\n");
        let outbound = format!("        outbound: {lariat}::Outbound<{output_type}>,\n");
        let response = format!("{lariat}::Response<{output_type}>");
        let (parameters, answer) = match rpc.kind() {
            Kind::Unary => (request, response),
            Kind::ServerStreaming => (request + &outbound, "()".to_owned()),
            Kind::ClientStreaming => (inbound, response),
            Kind::BidiStreaming => (inbound + &outbound, "()".to_owned()),
        };
        let deprecated = "Deprecated: the `.proto` file asks callers not to use this rpc any more.";
        let notes: &[&str] = if method.options.deprecated() { &[deprecated] } else { &[] };
        let documentation = document(&method.comments, 1, notes);
        let allow = allow_name(name);
        let future = format!(
            "::core::future::Future<Output = ::core::result::Result<{answer}, {lariat}::Status>> + ::core::marker::Send"
        );
        let body = match self.options.default_stubs {
            true => self.default_body(rpc),
            false => ";".to_owned(),
        };
        format!(
            r#"{documentation}{allow}    fn {name}(
        &self,
{parameters}    ) -> impl {future}{body}
"#
        )
    }

    /// What an rpc does that an implementation leaves out.
    fn default_body(&self, rpc: &Rpc) -> String {
        let lariat = &self.options.lariat_path;
        let message = format!("{}/{} is not implemented", self.full_name(), rpc.method.proto_name);
        let unused = |argument| format!("        let _ = {argument};\n");
        let unused: String = rpc.kind().arguments().split(", ").map(unused).collect();
        format!(
            r#" {{
{unused}        ::core::future::ready(Err({lariat}::Status::unimplemented("{message}")))
    }}"#
        )
    }

    /// The type that makes a service of an implementation of the trait.
    pub(super) fn server(&self) -> String {
        let Self { trait_name, server, .. } = self;
        let (lariat, full_name) = (&self.options.lariat_path, self.full_name());
        let handlers: String = self.rpcs.iter().map(|rpc| self.handler(rpc)).collect();
        format!(
            r#"/// Serves `{full_name}` with an implementation of [`{trait_name}`].
#[allow(dead_code)]
pub struct {server}<T> {{
    service: ::std::sync::Arc<T>,
}}
#[allow(dead_code)]
impl<T: {trait_name}> {server}<T> {{
    /// A server that calls `service`.
    pub fn new(service: T) -> Self {{
        Self::from_arc(::std::sync::Arc::new(service))
    }}
    /// A server that calls a `service` which the application goes on using.
    pub fn from_arc(service: ::std::sync::Arc<T>) -> Self {{
        Self {{ service }}
    }}
}}
impl<T> ::core::clone::Clone for {server}<T> {{
    fn clone(&self) -> Self {{
        Self {{ service: ::std::sync::Arc::clone(&self.service) }}
    }}
}}
impl<T: {trait_name}> {lariat}::server::Service for {server}<T> {{
    fn name(&self) -> &'static str {{
        "{full_name}"
    }}
    fn methods(&self) -> ::std::vec::Vec<{lariat}::server::Handler> {{
        ::std::vec![
{handlers}        ]
    }}
}}
"#
        )
    }

    fn handler(&self, rpc: &Rpc) -> String {
        let (lariat, codec, trait_name) = (&self.options.lariat_path, self.codec(), &self.trait_name);
        let (function, arguments) = (rpc.kind().function(), rpc.kind().arguments());
        let (name, proto_name) = (&rpc.name, &rpc.method.proto_name);
        // The trait's method is called by its full name: an Arc may have a method of the same name, such as
        // clone.
        format!(
            r#"            {{
                let service = ::std::sync::Arc::clone(&self.service);
                {lariat}::server::Handler::{function}::<{codec}, _, _, _, _>("{proto_name}", move |{arguments}| {{
                    let service = ::std::sync::Arc::clone(&service);
                    async move {{ <T as {trait_name}>::{name}(&service, {arguments}).await }}
                }})
            }},
"#
        )
    }
}
