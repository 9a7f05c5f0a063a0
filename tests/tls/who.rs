//! A service that tells its client what the server knows of it, and channels to it.

use bytes::Bytes;
use lariat::codec::Raw;
use lariat::credentials::{ChannelCredentials, ClientTls, ServerCredentials, ServerTls};
use lariat::metadata::Value;
use lariat::server::{Handler, Service};
use lariat::{Channel, Request, Response, Server, Status, Wait};

use crate::support::{Echo, EchoClient};

/// `test.Who`: answers with what it knows of its peer, and of the metadata of the call.
struct Who;

impl Service for Who {
    fn name(&self) -> &str {
        "test.Who"
    }

    fn methods(&self) -> Vec<Handler> {
        let sent = |request: Request<Bytes>| async move {
            let texts = request.metadata().iter().map(|(key, value)| match value {
                Value::Ascii(text) => format!("{key}: {text}"),
                Value::Binary(_) => format!("{key}: binary"),
            });
            let texts: Vec<String> = texts.filter(|text| !text.starts_with("user-agent")).collect();
            Ok(Response::new(Bytes::from(texts.join("\n"))))
        };
        let am = |request: Request<Bytes>| async move {
            let peer = request.peer().ok_or_else(|| Status::internal("no peer"))?;
            let mut facts = vec![format!("level: {}", peer.security_level())];
            if let Some(tls) = peer.tls() {
                facts.extend([
                    format!("version: {}", tls.version()),
                    format!("suite: {}", tls.cipher_suite()),
                    format!("alpn: {}", tls.alpn()),
                    format!("resumed: {}", tls.is_resumed()),
                    format!("certificates: {}", tls.certificates().len()),
                    format!("common name: {:?}", tls.common_name()),
                    format!("dns: {:?}", tls.dns_names()),
                    format!("uris: {:?}", tls.uris()),
                    format!("spiffe: {:?}", tls.spiffe_id()),
                ]);
            }
            Ok(Response::new(Bytes::from(facts.join("\n"))))
        };
        vec![Handler::unary::<Raw, _, _, _, _>("Am", am), Handler::unary::<Raw, _, _, _, _>("Sent", sent)]
    }
}

/// A server with `test.Who` and `test.Echo`.
pub(crate) fn serve(tls: ServerTls) -> Server {
    serve_with(ServerCredentials::tls(tls), "127.0.0.1:0")
}

pub(crate) fn serve_with(credentials: ServerCredentials, address: &str) -> Server {
    let builder = Server::builder().credentials(credentials).add_service(Who).add_service(Echo::default());
    builder.max_receive_message_size(usize::MAX).bind(address).expect("a server")
}

/// The target that reaches the server by the name `localhost`.
pub(crate) fn target(server: &Server) -> String {
    let address = server.local_address().to_string();
    format!("localhost:{}", address.rsplit_once(':').expect("a port").1)
}

pub(crate) fn connect(server: &Server, tls: ClientTls) -> Channel {
    connect_with(server, ChannelCredentials::tls(tls))
}

pub(crate) fn connect_with(server: &Server, credentials: ChannelCredentials) -> Channel {
    let builder = Channel::builder(target(server)).credentials(credentials);
    builder.max_receive_message_size(usize::MAX).build().expect("a channel")
}

pub(crate) fn echo(server: &Server, tls: ClientTls) -> EchoClient {
    EchoClient::new(connect(server, tls))
}

/// What the server knows of the client, a fact a line.
pub(crate) fn am(channel: &Channel) -> Result<String, Status> {
    let method = channel.method("/test.Who/Am");
    let response = channel.unary::<Raw, Bytes, Bytes>(&method, Request::new(Bytes::new())).wait()?;
    Ok(String::from_utf8(response.into_message().to_vec()).expect("UTF-8"))
}

#[track_caller]
pub(crate) fn assert_facts(found: &str, expected: &[&str]) {
    for fact in expected {
        assert!(found.lines().any(|line| line == *fact), "{fact:?} is not in\n{found}");
    }
}

/// The text of the status with which a call on the channel fails.
pub(crate) fn failure(channel: &Channel) -> String {
    let status = am(channel).expect_err("a call that fails");
    assert_eq!(status.code(), lariat::Code::Unavailable, "{status}");
    status.message().to_owned()
}
