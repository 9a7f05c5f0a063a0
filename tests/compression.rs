//! Compressed calls over loopback: every algorithm, every kind of call, either side, and peers that send nonsense.
#![cfg(all(feature = "gzip", feature = "deflate"))]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use lariat::client::ChannelBuilder;
use lariat::codec::Raw;
use lariat::compression::{Compressor, DecompressError, Decompressed, Gzip};
use lariat::credentials::{CallCredentials, CallTarget, MetadataFuture, SecurityLevel};
use lariat::interceptor::{EncodedMessage, Interceptor, Messages, Next};
use lariat::server::{Handler, Service};
use lariat::{Channel, Code, Error, Inbound, Metadata, Outbound, Request, Response, Server, Status, Wait};

const ALGORITHMS: &[&str] = &[
    "gzip",
    "deflate",
    #[cfg(feature = "zstd")]
    "zstd",
];

/// `test.Compression`: says in its first octet whether a message arrived compressed, and does with its response as the
/// metadata `response` says: an algorithm, or `as-it-is` for a message that is left alone.
#[derive(Clone, Copy)]
struct Told;

fn told(was_compressed: bool, message: &Bytes) -> Bytes {
    let mut told = vec![u8::from(was_compressed)];
    told.extend_from_slice(message);
    told.into()
}

impl Told {
    async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        let response = Response::new(told(request.was_compressed(), request.message()));
        Ok(match request.metadata().get("response") {
            None => response,
            Some("as-it-is") => response.with_uncompressed_message(),
            Some("accepted") => {
                response.map(|_| request.accepted_compression().collect::<Vec<_>>().join(" ").into())
            }
            Some("nothing") => response.map(|_| Bytes::new()),
            Some(algorithm) => response.with_compression(algorithm.to_owned()),
        })
    }

    /// Four messages; the third is left alone.
    async fn download(request: Request<Bytes>, mut outbound: Outbound<Bytes>) -> Result<(), Status> {
        if let Some(algorithm) = request.metadata().get("response") {
            outbound.set_compression(algorithm)?;
        }
        let message = told(request.was_compressed(), request.message());
        outbound.send(message.clone()).await?;
        outbound.send(Bytes::new()).await?;
        outbound.send_uncompressed(message.clone()).await?;
        outbound.send(message).await?;
        let late = outbound.set_compression("identity").unwrap_err();
        assert_eq!(late.code(), Code::Internal);
        Ok(())
    }

    /// A letter for each message: how it arrived.
    async fn upload(mut inbound: Inbound<Bytes>) -> Result<Response<Bytes>, Status> {
        let mut arrived = Vec::new();
        while inbound.message().await?.is_some() {
            arrived.push(if inbound.was_compressed() { b'c' } else { b'-' });
        }
        let choice = inbound.metadata().get("response");
        let response = Response::new(arrived.into());
        Ok(match choice {
            None => response,
            Some("as-it-is") => response.with_uncompressed_message(),
            Some(algorithm) => response.with_compression(algorithm.to_owned()),
        })
    }

    async fn chat(mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        while let Some(message) = inbound.message().await? {
            outbound.send(told(inbound.was_compressed(), &message)).await?;
        }
        Ok(())
    }
}

impl Service for Told {
    fn name(&self) -> &str {
        "test.Compression"
    }

    fn methods(&self) -> Vec<Handler> {
        vec![
            Handler::unary::<Raw, _, _, _, _>("Unary", Told::unary),
            Handler::server_streaming::<Raw, _, _, _, _>("Download", Told::download),
            Handler::client_streaming::<Raw, _, _, _, _>("Upload", Told::upload),
            Handler::bidi_streaming::<Raw, _, _, _, _>("Chat", Told::chat),
        ]
    }
}

fn serve() -> Server {
    Server::builder().plaintext().add_service(Told).bind("127.0.0.1:0").unwrap()
}

/// Where there are interceptors, through which all must go as without them: at the server, at the client.
const INTERCEPTED: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

/// An interceptor that only looks.
struct Look;

impl Interceptor for Look {
    async fn stream(
        &self,
        request: Request<()>,
        messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        next.stream(request, messages.map_requests(Ok).map_responses(Ok)).await
    }
}

fn serve_intercepted(is_intercepted: bool) -> Server {
    let server = Server::builder().plaintext().add_service(Told);
    let server = if is_intercepted { server.interceptor(Look) } else { server };
    server.bind("127.0.0.1:0").unwrap()
}

fn channel(server: &Server, options: impl FnOnce(ChannelBuilder) -> ChannelBuilder) -> Channel {
    options(Channel::builder(server.local_address().to_string()).plaintext()).build().unwrap()
}

/// A channel that may have interceptors.
fn intercepted(is_intercepted: bool, channel: ChannelBuilder) -> ChannelBuilder {
    if is_intercepted { channel.interceptor(Look) } else { channel }
}

fn message() -> Bytes {
    Bytes::from(b"compressible ".repeat(1000))
}

fn unary(channel: &Channel, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    channel.unary::<Raw, _, _>(&channel.method("/test.Compression/Unary"), request).wait()
}

fn with_response(response: &str) -> Request<Bytes> {
    let mut request = Request::new(message());
    request.metadata_mut().insert("response", response).unwrap();
    request
}

#[test]
fn every_algorithm_works_for_all_four_kinds_of_calls() {
    for (at_server, at_client) in INTERCEPTED {
        let server = serve_intercepted(at_server);
        let plain = channel(&server, |builder| intercepted(at_client, builder));
        for algorithm in ALGORITHMS {
            let compressing =
                channel(&server, |builder| intercepted(at_client, builder).compression(*algorithm));
            for (channel, request) in [
                (&plain, Request::new(message()).with_compression(*algorithm)),
                (&compressing, Request::new(message())),
            ] {
                let response = unary(channel, request.clone()).unwrap();
                assert_eq!(response.message(), &told(true, &message()), "{algorithm}");
                assert!(response.was_compressed(), "{algorithm}");

                let download = channel.method("/test.Compression/Download");
                let mut inbound = channel.server_streaming::<Raw, Bytes, Bytes>(&download, request.clone());
                for (expected, compressed) in
                    [(told(true, &message()), true), (Bytes::new(), false), (told(true, &message()), false)]
                {
                    assert_eq!(inbound.message().wait().unwrap(), Some(expected), "{algorithm}");
                    assert_eq!(inbound.was_compressed(), compressed);
                }
                assert_eq!(inbound.message().wait().unwrap(), Some(told(true, &message())));
                assert!(inbound.was_compressed());
                assert_eq!(inbound.message().wait().unwrap(), None);

                let upload = channel.method("/test.Compression/Upload");
                let (outbound, call) =
                    channel.client_streaming::<Raw, Bytes, Bytes>(&upload, request.clone().map(|_| ()));
                outbound.send(message()).wait().unwrap();
                outbound.send_uncompressed(message()).wait().unwrap();
                outbound.send(Bytes::new()).wait().unwrap();
                outbound.send(Bytes::from_static(b"x")).wait().unwrap();
                outbound.finish();
                assert_eq!(call.wait().unwrap().into_message(), "c--c");

                let chat = channel.method("/test.Compression/Chat");
                let (outbound, mut inbound) =
                    channel.bidi_streaming::<Raw, Bytes, Bytes>(&chat, request.map(|_| ()));
                for _ in 0..10 {
                    outbound.send(message()).wait().unwrap();
                    assert_eq!(inbound.message().wait().unwrap(), Some(told(true, &message())));
                    assert!(inbound.was_compressed());
                    outbound.send_uncompressed(message()).wait().unwrap();
                    assert_eq!(inbound.message().wait().unwrap(), Some(told(false, &message())));
                }
                outbound.finish();
                assert_eq!(inbound.message().wait().unwrap(), None);
            }
        }
    }
}

#[test]
fn what_nobody_asked_to_compress_is_not() {
    for (at_server, at_client) in INTERCEPTED {
        let server = serve_intercepted(at_server);
        let channel = channel(&server, |builder| intercepted(at_client, builder).compression("gzip"));
        let request = Request::new(message()).with_compression("identity");
        let response = unary(&channel, request).unwrap();
        assert_eq!(response.message(), &told(false, &message()));
        assert!(!response.was_compressed());
        // One message may be left alone; what answers it is compressed as the call is.
        let response = unary(&channel, Request::new(message()).with_uncompressed_message()).unwrap();
        assert_eq!(response.message(), &told(false, &message()));
        assert!(response.was_compressed());
        let response = unary(&channel, Request::new(Bytes::new())).unwrap();
        assert_eq!(response.message(), &told(false, &Bytes::new()), "empty messages are not compressed");
        let response = unary(&channel, with_response("nothing")).unwrap();
        assert!(response.message().is_empty() && !response.was_compressed());
    }
}

#[test]
fn a_handler_chooses_among_what_the_client_accepts() {
    for (at_server, at_client) in INTERCEPTED {
        let server = serve_intercepted(at_server);
        let any = channel(&server, |builder| intercepted(at_client, builder));
        for algorithm in ALGORITHMS {
            assert!(unary(&any, with_response(algorithm)).unwrap().was_compressed());
            let download = any.method("/test.Compression/Download");
            let mut inbound = any.server_streaming::<Raw, Bytes, Bytes>(&download, with_response(algorithm));
            assert_eq!(inbound.message().wait().unwrap(), Some(told(false, &message())));
            assert!(inbound.was_compressed());
            let upload = any.method("/test.Compression/Upload");
            for (choice, compressed) in [(*algorithm, true), ("as-it-is", false), ("identity", false)] {
                let request = with_response(choice).map(|_| ()).with_compression(*algorithm);
                let (outbound, call) = any.client_streaming::<Raw, Bytes, Bytes>(&upload, request);
                outbound.send(message()).wait().unwrap();
                outbound.finish();
                let response = call.wait().unwrap();
                assert_eq!((&response.message()[..], response.was_compressed()), (&b"c"[..], compressed));
            }
        }
        assert!(!unary(&any, with_response("as-it-is").with_compression("gzip")).unwrap().was_compressed());
        assert!(!unary(&any, with_response("identity").with_compression("gzip")).unwrap().was_compressed());
        let status = unary(&any, with_response("snappy")).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("\"snappy\" is known, but gzip, deflate"), "{status}");
        assert_eq!(unary(&any, with_response("accepted")).unwrap().into_message(), ALGORITHMS.join(" "));

        let one = channel(&server, |builder| intercepted(at_client, builder).accept_compression(["deflate"]));
        assert_eq!(unary(&one, with_response("accepted")).unwrap().into_message(), "deflate");
        assert!(unary(&one, with_response("deflate")).unwrap().was_compressed());
        let response = unary(&one, with_response("gzip")).unwrap();
        assert_eq!(response.message(), &told(false, &message()));
        assert!(!response.was_compressed());
        let download = one.method("/test.Compression/Download");
        let mut inbound = one.server_streaming::<Raw, Bytes, Bytes>(&download, with_response("gzip"));
        let status = inbound.message().wait().unwrap_err();
        assert!(status.message().contains("does not accept messages compressed by gzip"), "{status}");
    }
}

#[test]
fn a_server_compresses_for_those_who_accept_it_and_does_not_when_told() {
    let serve = |algorithm| {
        Server::builder().plaintext().compression(algorithm).add_service(Told).bind("127.0.0.1:0").unwrap()
    };
    let server = serve("gzip");
    assert!(unary(&channel(&server, |builder| builder), Request::new(message())).unwrap().was_compressed());
    let none = channel(&server, |builder| builder.accept_compression([""; 0]));
    assert!(!unary(&none, Request::new(message())).unwrap().was_compressed());
    let server = serve("identity");
    let compressing = channel(&server, |builder| builder.compression("gzip"));
    let response = unary(&compressing, Request::new(message())).unwrap();
    assert_eq!(response.message(), &told(true, &message()));
    assert!(!response.was_compressed());
}

#[test]
fn an_algorithm_that_the_server_does_not_accept_is_unimplemented_and_one_that_the_client_lacks_internal() {
    let server = Server::builder().plaintext().accept_compression(["deflate"]).add_service(Told);
    let server = server.bind("127.0.0.1:0").unwrap();
    let channel = channel(&server, |builder| builder);
    let status = unary(&channel, Request::new(message()).with_compression("gzip")).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("grpc-encoding \"gzip\" is not supported"), "{status}");
    assert!(unary(&channel, Request::new(message()).with_compression("deflate")).is_ok());
    let status = unary(&channel, Request::new(message()).with_compression("snappy")).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("\"snappy\" is known"), "{status}");
}

#[test]
fn a_client_that_cannot_decompress_is_told_internal() {
    // The server answers as it was asked, though the client says that it accepts nothing.
    let server = serve();
    let deaf = channel(&server, |builder| builder.accept_compression([""; 0]).compression("gzip"));
    let status = unary(&deaf, Request::new(message())).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(
        status.message().contains("compressed by \"gzip\", which this client does not accept"),
        "{status}"
    );
}

#[test]
fn names_that_are_not_known_are_told_when_building() {
    let result = Channel::builder("localhost:1").plaintext().compression("snappy").build();
    let Err(Error::Option { option: "compression", why }) = result else { panic!("{result:?}") };
    assert!(why.contains("snappy"), "{why}");
    assert!(Server::builder().plaintext().accept_compression(["snappy"]).bind("127.0.0.1:0").is_err());
}

/// Every octet, and its complement behind it.
#[derive(Clone)]
struct Twice;

impl Compressor for Twice {
    fn name(&self) -> &str {
        "twice"
    }

    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend(message.iter().flat_map(|octet| [*octet, !*octet]));
        Ok(())
    }

    fn decompress(&mut self, compressed: &[u8], out: &mut Decompressed) -> Result<(), DecompressError> {
        compressed.chunks(2).try_for_each(|pair| match *pair {
            [octet, other] if other == !octet => out.extend_from_slice(&[octet]),
            _ => Err(DecompressError::malformed("an octet without its complement")),
        })
    }
}

#[test]
fn compressors_of_ones_own_work_and_replace_those_of_the_same_name() {
    let server =
        Server::builder().plaintext().compressor(Twice).add_service(Told).bind("127.0.0.1:0").unwrap();
    let own = channel(&server, |builder| {
        builder.compressor(Twice).compressor(Gzip::with_level(9)).compression("twice")
    });
    let response = unary(&own, Request::new(message())).unwrap();
    assert_eq!(response.message(), &told(true, &message()));
    assert!(response.was_compressed());
    let accepted = unary(&own, with_response("accepted")).unwrap();
    assert_eq!(accepted.into_message(), format!("{} twice", ALGORITHMS.join(" ")));
    let response = unary(&own, Request::new(message()).with_compression("gzip")).unwrap();
    assert_eq!(response.message(), &told(true, &message()));
}

/// Messages that are sent as they are under the name of `gzip`.
#[derive(Clone)]
struct Forged;

impl Compressor for Forged {
    fn name(&self) -> &str {
        "gzip"
    }

    fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(message);
        Ok(())
    }

    fn decompress(&mut self, compressed: &[u8], out: &mut Decompressed) -> Result<(), DecompressError> {
        out.extend_from_slice(compressed)
    }
}

/// 64 MiB of zeros.
fn bomb() -> Bytes {
    let mut octets = Vec::new();
    Gzip::default().compress(&vec![0; 1 << 26], &mut octets).unwrap();
    octets.into()
}

#[test]
fn a_bomb_is_resource_exhausted_for_every_kind_of_call() {
    let server = serve();
    let forging = channel(&server, |builder| builder.compressor(Forged).compression("gzip"));
    let bomb = bomb();
    assert!(bomb.len() < 1 << 17);
    let status = unary(&forging, Request::new(bomb.clone())).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("(more than 4194304); max_receive_message_size"), "{status}");
    let upload = forging.method("/test.Compression/Upload");
    let (outbound, call) = forging.client_streaming::<Raw, Bytes, Bytes>(&upload, Request::new(()));
    outbound.send(bomb).wait().unwrap();
    outbound.finish();
    assert_eq!(call.wait().unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn a_client_ends_a_call_whose_response_is_nonsense_and_tells_the_server() {
    let server =
        Server::builder().plaintext().compressor(Forged).add_service(Told).bind("127.0.0.1:0").unwrap();
    let honest = channel(&server, |builder| builder);
    let status = unary(&honest, with_response("gzip")).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("could not be decompressed by gzip"), "{status}");
    let download = honest.method("/test.Compression/Download");
    let mut inbound = honest.server_streaming::<Raw, Bytes, Bytes>(&download, with_response("gzip"));
    for _ in 0..2 {
        assert_eq!(inbound.message().wait().unwrap_err().code(), Code::Internal);
    }
}

/// A request that no client of ours sends, and all that comes back.
fn raw(server: &Server, headers: &[(&str, &str)], flag: u8) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.extend_from_slice(&[0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        frame.extend_from_slice(payload);
        frame
    };
    let mut socket = TcpStream::connect(server.local_address().to_string()).unwrap();
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    out.extend(frame(4, 0, 0, b""));
    out.extend(frame(1, 4, 1, &block));
    out.extend(frame(0, 1, 1, &[flag, 0, 0, 0, 1, b'x']));
    // A GOAWAY asks for the end, which comes when the call has ended.
    out.extend(frame(7, 0, 0, &[0; 8]));
    socket.write_all(&out).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

#[test]
fn an_unknown_encoding_is_answered_with_the_known_ones_and_a_flag_without_encoding_with_internal() {
    let server = serve();
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/test.Compression/Unary"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ];
    let has = |answer: &[u8], text: &str| {
        let mut plain = lariat_frame::hpack::HeaderList::new();
        let mut decoder = lariat_frame::hpack::Decoder::new(4096);
        let mut rest = answer;
        let mut found = false;
        while let Some((head, body)) = rest.split_first_chunk::<9>() {
            let len = usize::from(head[1]) << 8 | usize::from(head[2]);
            if head[3] == 1 {
                plain.clear();
                decoder.decode(&body[..len], &mut plain).unwrap();
                found |= plain.iter().any(|field| {
                    let line = [field.name, b": ", field.value].concat();
                    String::from_utf8_lossy(&line).contains(text)
                });
            }
            rest = &body[len..];
        }
        found
    };
    let mut unknown = head.to_vec();
    unknown.push(("grpc-encoding", "snappy"));
    let answer = raw(&server, &unknown, 1);
    assert!(has(&answer, "grpc-status: 12"));
    assert!(has(&answer, &format!("grpc-accept-encoding: {}", ALGORITHMS.join(","))));
    for encoding in [None, Some(("grpc-encoding", "identity"))] {
        let mut headers = head.to_vec();
        headers.extend(encoding);
        assert!(has(&raw(&server, &headers, 1), "grpc-status: 13"));
        assert!(has(&raw(&server, &headers, 0), "grpc-status: 0"));
    }
}

/// Asks for a response that is left alone, as call credentials that need no secure connection.
struct AsItIs;

impl CallCredentials for AsItIs {
    fn metadata(&self, _: &CallTarget) -> MetadataFuture {
        Box::pin(async {
            let mut metadata = Metadata::new();
            metadata.insert("response", "as-it-is")?;
            Ok(metadata)
        })
    }

    fn required_security(&self) -> SecurityLevel {
        SecurityLevel::None
    }
}

/// Writes down the sizes of the messages that pass.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<Vec<usize>>>);

impl Interceptor for Sizes {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        assert!(
            request.metadata().get("response").is_none(),
            "credentials are asked behind the interceptors"
        );
        self.0.lock().unwrap().push(request.message().len());
        let response = next.unary(request).await?;
        self.0.lock().unwrap().push(response.message().len());
        Ok(response)
    }
}

#[test]
fn interceptors_see_messages_as_they_are_and_credentials_follow_them() {
    let (server, sizes) = (serve(), Sizes::default());
    let channel = channel(&server, |channel| channel.interceptor(sizes.clone()));
    for is_left_alone in [false, true] {
        let mut request = Request::new(message()).with_compression("gzip");
        if is_left_alone {
            request = request.with_call_credentials(AsItIs);
        }
        let response = unary(&channel, request).unwrap();
        assert_eq!(response.message(), &told(true, &message()));
        assert!(response.peer().is_some());
        assert_eq!(std::mem::take(&mut *sizes.0.lock().unwrap()), [message().len(), message().len() + 1]);
    }
}

/// Says what it sees of compression, and chooses anew: gzip for every call, but for the second message of each stream.
#[derive(Clone, Default)]
struct Meddle(Arc<Mutex<Vec<String>>>);

impl Meddle {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn meddle(
        &self,
        what: &'static str,
    ) -> impl FnMut(EncodedMessage) -> Result<EncodedMessage, Status> + use<> {
        let (log, mut count) = (self.clone(), 0);
        move |mut message| {
            count += 1;
            log.note(format!("{what} {} {}", message.was_compressed(), message.is_compressible()));
            message.set_compressible(count != 2);
            Ok(message)
        }
    }
}

impl Interceptor for Meddle {
    async fn unary(
        &self,
        request: Request<EncodedMessage>,
        next: Next<'_>,
    ) -> Result<Response<EncodedMessage>, Status> {
        let chosen = request.compression().map(str::to_owned);
        self.note(format!("request {} {chosen:?}", request.message().was_compressed()));
        let response = next.unary(request.with_compression("gzip")).await?;
        self.note(format!("response {} {:?}", response.message().was_compressed(), response.compression()));
        Ok(response.with_compression("gzip"))
    }

    async fn stream(
        &self,
        request: Request<()>,
        mut messages: Messages,
        next: Next<'_>,
    ) -> Result<Metadata, Status> {
        messages.responses.set_compression("gzip")?;
        let messages = messages.map_requests(self.meddle("request")).map_responses(self.meddle("response"));
        next.stream(request.with_compression("gzip"), messages).await
    }
}

#[test]
fn interceptors_see_and_change_what_is_compressed() {
    let log = || Meddle::default();
    let (at_server, at_client) = (log(), log());
    let server = Server::builder().plaintext().add_service(Told).interceptor(at_server.clone());
    let server = server.bind("127.0.0.1:0").unwrap();
    let plain = channel(&server, |channel| channel);
    // The server's alone: requests come as they are, responses go compressed.
    let response = unary(&plain, with_response("deflate")).unwrap();
    assert_eq!(response.message(), &told(false, &message()));
    assert!(response.was_compressed());
    let taken = |log: &Meddle| std::mem::take(&mut *log.0.lock().unwrap());
    assert_eq!(taken(&at_server), ["request false None", "response false Some(\"deflate\")"]);
    let chat = plain.method("/test.Compression/Chat");
    let (outbound, mut inbound) = plain.bidi_streaming::<Raw, Bytes, Bytes>(&chat, Request::new(()));
    for compressed in [true, false, true] {
        outbound.send(message()).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap(), Some(told(false, &message())));
        assert_eq!(inbound.was_compressed(), compressed);
    }
    drop((outbound, inbound));
    assert_eq!(taken(&at_server), ["request false true", "response false true"].repeat(3));
    // Those of both sides.
    let both = channel(&server, |channel| channel.interceptor(at_client.clone()));
    let response = unary(&both, Request::new(message()).with_uncompressed_message()).unwrap();
    assert_eq!(response.message(), &told(false, &message()), "what the caller said of the message holds");
    assert_eq!(taken(&at_client), ["request false Some(\"identity\")", "response true None"]);
    assert_eq!(taken(&at_server), ["request false None", "response false None"]);
    let chat = both.method("/test.Compression/Chat");
    let (outbound, mut inbound) = both.bidi_streaming::<Raw, Bytes, Bytes>(&chat, Request::new(()));
    for compressed in [true, false] {
        outbound.send_uncompressed(message()).wait().unwrap();
        assert_eq!(inbound.message().wait().unwrap(), Some(told(compressed, &message())));
        assert_eq!(inbound.was_compressed(), compressed);
    }
    drop((outbound, inbound));
    assert_eq!(
        taken(&at_client),
        ["request false false", "response true true", "request false false", "response false true"]
    );
    assert_eq!(
        taken(&at_server),
        ["request true true", "response false true", "request false true", "response false true"]
    );
}
