//! Services as Rust source: a client, and a trait with the server that dispatches to it.

mod client;
mod server;

use std::collections::BTreeMap;

use prost_build::{Comments, Method, Module, Service, ServiceGenerator};

use crate::names::Scope;
use crate::schema::Schema;

/// What of a service is generated, and how generated code names what it uses.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) default_stubs: bool,
    pub(crate) emit_package: bool,
    pub(crate) lariat_path: String,
    pub(crate) codec_path: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client: true,
            server: true,
            default_stubs: false,
            emit_package: true,
            lariat_path: "::lariat".to_owned(),
            codec_path: None,
        }
    }
}

/// Writes the Rust source of services, as a part of prost-build's run over the files.
pub(crate) struct Generator {
    options: Options,
    /// By package and service.
    suffixes: BTreeMap<(String, String), Suffixes>,
}

/// What is appended to the names of a service's types to keep them apart from others.
#[derive(Clone, Default)]
struct Suffixes {
    server_trait: String,
    client: String,
    server: String,
}

impl Generator {
    pub(crate) fn new(options: Options, schema: &Schema) -> Self {
        let mut scopes = BTreeMap::<Module, Scope>::new();
        for file in &schema.files {
            let scope = scopes.entry(file.module()).or_default();
            file.descriptor.message_type.iter().for_each(|message| scope.reserve(message.name()));
            file.descriptor.enum_type.iter().for_each(|item| scope.reserve(item.name()));
        }
        let mut suffixes = BTreeMap::<_, Suffixes>::new();
        let mut take = |name: fn(&str, &mut Scope, &mut Suffixes)| {
            for file in &schema.files {
                let scope = scopes.entry(file.module()).or_default();
                for service in &file.descriptor.service {
                    let key = (file.descriptor.package().to_owned(), service.name().to_owned());
                    name(service.name(), scope, suffixes.entry(key).or_default());
                }
            }
        };
        // First all traits: only they bear the name that stands in the .proto file.
        take(|service, scope, suffixes| suffixes.server_trait = scope.take_suffix(service));
        take(|service, scope, suffixes| suffixes.client = scope.take_suffix(&format!("{service}Client")));
        take(|service, scope, suffixes| suffixes.server = scope.take_suffix(&format!("{service}Server")));
        Self { options, suffixes }
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, buf: &mut String) {
        let key = (service.package.clone(), service.proto_name.clone());
        let suffixes = self.suffixes.get(&key).cloned().unwrap_or_default();
        let source = Source {
            options: &self.options,
            trait_name: format!("{}{}", service.name, suffixes.server_trait),
            client: format!("{}Client{}", service.name, suffixes.client),
            server: format!("{}Server{}", service.name, suffixes.server),
            rpcs: rpcs(&service.methods),
            service,
        };
        if self.options.client {
            buf.push_str(&source.client());
        }
        if self.options.server {
            buf.push_str(&source.server_trait());
            buf.push_str(&source.server());
        }
    }
}

/// An rpc with its name in Rust.
struct Rpc {
    name: String,
    method: Method,
}

/// The four kinds of rpcs.
#[derive(Clone, Copy)]
enum Kind {
    Unary,
    ServerStreaming,
    ClientStreaming,
    BidiStreaming,
}

fn rpcs(methods: &[Method]) -> Vec<Rpc> {
    let mut scope = Scope::default();
    // The constructor, and what a derive gives to the client.
    scope.reserve("new");
    scope.reserve("clone");
    methods.iter().map(|method| Rpc { name: scope.take(&method.name), method: method.clone() }).collect()
}

impl Rpc {
    fn kind(&self) -> Kind {
        match (self.method.client_streaming, self.method.server_streaming) {
            (false, false) => Kind::Unary,
            (false, true) => Kind::ServerStreaming,
            (true, false) => Kind::ClientStreaming,
            (true, true) => Kind::BidiStreaming,
        }
    }
}

impl Kind {
    /// The function of the channel that starts such a call, and of the handler that answers it.
    fn function(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStreaming => "server_streaming",
            Self::ClientStreaming => "client_streaming",
            Self::BidiStreaming => "bidi_streaming",
        }
    }

    /// The names of what a handler is given.
    fn arguments(self) -> &'static str {
        match self {
            Self::Unary => "request",
            Self::ServerStreaming => "request, outbound",
            Self::ClientStreaming => "inbound",
            Self::BidiStreaming => "inbound, outbound",
        }
    }
}

/// One service while its source is written.
struct Source<'a> {
    options: &'a Options,
    trait_name: String,
    client: String,
    server: String,
    rpcs: Vec<Rpc>,
    service: Service,
}

impl Source<'_> {
    /// The service's name on the wire.
    fn full_name(&self) -> String {
        match self.options.emit_package && !self.service.package.is_empty() {
            true => format!("{}.{}", self.service.package, self.service.proto_name),
            false => self.service.proto_name.clone(),
        }
    }

    fn codec(&self) -> String {
        let default = || format!("{}::codec::Prost", self.options.lariat_path);
        self.options.codec_path.clone().unwrap_or_else(default)
    }
}

/// A doc comment with further paragraphs.
fn document(comments: &Comments, indent: u8, notes: &[&str]) -> String {
    let mut leading = comments.leading.clone();
    for note in notes {
        if !leading.is_empty() {
            leading.push(String::new());
        }
        leading.push((*note).to_owned());
    }
    let mut out = String::new();
    Comments { leading, ..Comments::default() }.append_with_indent(indent, &mut out);
    out
}

/// Silences the lint that takes a method for what its name promises elsewhere in Rust. An rpc is called as
/// its author called it.
fn allow_name(name: &str) -> &'static str {
    match name {
        "cmp" => "    #[allow(clippy::should_implement_trait)]\n",
        _ if name.starts_with("from_") || name.starts_with("into_") => {
            "    #[allow(clippy::wrong_self_convention)]\n"
        }
        _ => "",
    }
}
