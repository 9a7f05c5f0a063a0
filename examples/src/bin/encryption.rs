//! Connections that nobody can read or change, by TLS: to a server that shows who it is, and to one that asks its
//! clients for certificates as well (mutual TLS).

use std::error::Error;
use std::process::ExitCode;

use lariat::credentials::{ClientTls, ServerTls};
use lariat::{Channel, Request, Response, Server, Status, Wait};
use lariat_examples::echo::{Echo, EchoClient, EchoRequest, EchoResponse, EchoServer};
use lariat_examples::{Example, Role, UsageError, certificates};

const EXAMPLE: Example = Example {
    name: "encryption",
    about: "Calls over TLS and mutual TLS, with servers at --addr TLS_ADDRESS,MUTUAL_TLS_ADDRESS.",
    client_flags: &[],
};

fn main() -> ExitCode {
    EXAMPLE.run(|role| match role {
        Role::Both => {
            let servers = serve("127.0.0.1:0", "127.0.0.1:0")?;
            let [tls, mutual_tls] = servers.each_ref().map(|server| server.local_address().to_string());
            call(&tls, &mutual_tls)
        }
        Role::Server { address, .. } => {
            let (tls, mutual_tls) = two(&address)?;
            for server in serve(tls, mutual_tls)? {
                server.stopped().wait();
            }
            Ok(())
        }
        Role::Client { address, .. } => {
            let (tls, mutual_tls) = two(&address)?;
            call(tls, mutual_tls)
        }
    })
}

fn two(addresses: &str) -> Result<(&str, &str), UsageError> {
    let wrong = || UsageError::new("--addr must be two addresses: TLS_ADDRESS,MUTUAL_TLS_ADDRESS");
    addresses.split_once(',').ok_or_else(wrong)
}

/// One server with each kind of credentials.
fn serve(tls_address: &str, mutual_tls_address: &str) -> Result<[Server; 2], lariat::Error> {
    let tls = ServerTls::new(certificates::server());
    let mutual_tls = tls.clone().require_client_certificates(certificates::client_authority());
    let start = |tls: ServerTls, address: &str| {
        let server = Server::builder().tls(tls).add_service(EchoServer::new(MyEcho)).bind(address)?;
        println!("listening on {}", server.local_address());
        Ok::<_, lariat::Error>(server)
    };
    Ok([start(tls, tls_address)?, start(mutual_tls, mutual_tls_address)?])
}

struct MyEcho;

impl Echo for MyEcho {
    /// Adds what the server knows of its client.
    async fn unary_echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let tls = request.peer().and_then(|peer| peer.tls());
        let tls = tls.ok_or_else(|| Status::internal("the connection is not encrypted"))?;
        let client = tls.dns_names().pop().unwrap_or_else(|| "somebody".to_owned());
        let message = format!("{} (said {client} over {})", request.message().message, tls.version());
        Ok(Response::new(EchoResponse { message }))
    }
}

fn call(tls_address: &str, mutual_tls_address: &str) -> Result<(), Box<dyn Error>> {
    // The server is called by an address that its certificate does not have: it has to be told who is expected.
    let tls = ClientTls::new().roots(certificates::server_authority()).server_name(certificates::SERVER_NAME);
    println!("TLS: {}", echo(tls_address, tls.clone())?.map_err(|status| status.to_string())?);

    let mutual_tls = tls.clone().identity(certificates::client());
    println!("mutual TLS: {}", echo(mutual_tls_address, mutual_tls)?.map_err(|status| status.to_string())?);

    let status = echo(mutual_tls_address, tls)?.err().ok_or("a client without a certificate was let in")?;
    println!("mutual TLS without a certificate: {}", status.code());

    let strangers = ClientTls::new().roots(certificates::client_authority());
    let strangers = strangers.server_name(certificates::SERVER_NAME);
    let status = echo(tls_address, strangers)?.err().ok_or("a server of another authority was trusted")?;
    println!("TLS with a server that is not trusted: {}", status.code());
    Ok(())
}

fn echo(address: &str, tls: ClientTls) -> Result<Result<String, Status>, lariat::Error> {
    let echo = EchoClient::new(Channel::builder(address).tls(tls).build()?);
    let response = echo.unary_echo(EchoRequest { message: "hello world".to_owned() }).wait();
    Ok(response.map(|response| response.into_message().message))
}
