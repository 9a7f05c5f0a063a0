//! A small service of raw octets, and servers and channels on loopback.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod etcd_program;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lariat::client::Method;
use lariat::codec::Raw;
use lariat::server::{Handler, ServerBuilder, Service};
use lariat::{Channel, Inbound, Outbound, Request, Response, Server, Status, UnaryCall};

/// What the service saw, for the tests to look at.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) started: AtomicUsize,
    /// Handlers whose future was dropped before it ended.
    pub(crate) dropped: AtomicUsize,
    /// Tokens that told of a cancellation.
    pub(crate) cancelled: AtomicUsize,
}

/// `test.Echo`: answers with what it got.
#[derive(Clone, Default)]
pub(crate) struct Echo {
    pub(crate) seen: Arc<Seen>,
}

struct CountDrop {
    seen: Arc<Seen>,
    done: bool,
}

impl Drop for CountDrop {
    fn drop(&mut self) {
        if !self.done {
            self.seen.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Echo {
    async fn unary(self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        self.seen.started.fetch_add(1, Ordering::SeqCst);
        let text = request.message().clone();
        match &text[..] {
            b"fail" => {
                let mut status = Status::failed_precondition("asked to fail: 100% \u{263a}")
                    .with_details(&b"\x08\x09"[..]);
                status.metadata_mut().insert("why", "because")?;
                return Err(status);
            }
            b"panic" => panic!("asked to panic"),
            b"metadata" => {
                let mut response = Response::new(text);
                for value in request.metadata().get_all("key") {
                    response.metadata_mut().append("key", value)?;
                    response.trailers_mut().append("trailer", value)?;
                }
                for value in request.metadata().get_all_bin("key-bin") {
                    response.metadata_mut().append_bin("key-bin", &value)?;
                }
                return Ok(response);
            }
            b"authority" => {
                let authority = request.metadata().authority().unwrap_or_default().to_owned();
                let mut response = Response::new(authority.into());
                for value in request.metadata().get_all("key") {
                    response.metadata_mut().append("key", value)?;
                }
                return Ok(response);
            }
            b"peer" => {
                return Ok(Response::new(request.peer().map_or_else(String::new, |p| p.to_string()).into()));
            }
            b"deadline" => {
                let left = request.deadline().map(|deadline| deadline - Instant::now());
                return Ok(Response::new(format!("{}", left.map_or(0, |left| left.as_millis())).into()));
            }
            b"thread" => return Ok(Response::new(format!("{:?}", std::thread::current().id()).into())),
            b"token" => {
                if let Some(token) = request.cancellation().cloned() {
                    let seen = Arc::clone(&self.seen);
                    std::thread::spawn(move || {
                        use lariat::Wait;
                        token.cancelled().wait();
                        seen.cancelled.fetch_add(1, Ordering::SeqCst);
                    });
                }
            }
            _ => {}
        }
        if text.starts_with(b"wait") || &text[..] == b"token" {
            let mut count = CountDrop { seen: Arc::clone(&self.seen), done: false };
            let millis =
                std::str::from_utf8(&text[4..]).ok().and_then(|text| text.parse().ok()).unwrap_or(60_000);
            lariat::sleep(Duration::from_millis(millis)).await;
            count.done = true;
        }
        Ok(Response::new(text))
    }

    /// Sends the message as often as its first octet says.
    async fn download(self, request: Request<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        let message = request.into_message();
        let count =
            u32::from_be_bytes(message[..4].try_into().map_err(|_| Status::invalid_argument("no count"))?);
        for _ in 0..count {
            outbound.send(message.clone()).await?;
        }
        Ok(())
    }

    /// Counts octets.
    async fn upload(self, mut inbound: Inbound<Bytes>) -> Result<Response<Bytes>, Status> {
        let mut octets = 0;
        while let Some(message) = inbound.message().await? {
            octets += message.len();
        }
        Ok(Response::new(octets.to_string().into()))
    }

    async fn chat(self, mut inbound: Inbound<Bytes>, outbound: Outbound<Bytes>) -> Result<(), Status> {
        let mut count = CountDrop { seen: Arc::clone(&self.seen), done: false };
        self.seen.started.fetch_add(1, Ordering::SeqCst);
        let mut result = Ok(());
        while let Some(message) = inbound.message().await? {
            if &message[..] == b"abort" {
                result = Err(Status::aborted("asked to abort"));
                break;
            }
            if &message[..] == b"headers" {
                let mut headers = lariat::Metadata::new();
                headers.insert("early", "yes")?;
                outbound.send_headers(headers)?;
                continue;
            }
            outbound.send(message).await?;
        }
        let mut trailers = lariat::Metadata::new();
        trailers.insert("last", "word")?;
        outbound.set_trailers(trailers);
        count.done = true;
        result
    }
}

impl Service for Echo {
    fn name(&self) -> &str {
        "test.Echo"
    }

    fn methods(&self) -> Vec<Handler> {
        let [a, b, c, d] = [self.clone(), self.clone(), self.clone(), self.clone()];
        vec![
            Handler::unary::<Raw, _, _, _, _>("Unary", move |request| a.clone().unary(request)),
            Handler::server_streaming::<Raw, _, _, _, _>("Download", move |r, o| b.clone().download(r, o)),
            Handler::client_streaming::<Raw, _, _, _, _>("Upload", move |i| c.clone().upload(i)),
            Handler::bidi_streaming::<Raw, _, _, _, _>("Chat", move |i, o| d.clone().chat(i, o)),
        ]
    }
}

/// The client of [`Echo`].
#[derive(Clone)]
pub(crate) struct EchoClient {
    pub(crate) channel: Channel,
    unary: Method,
    download: Method,
    upload: Method,
    chat: Method,
}

impl EchoClient {
    pub(crate) fn new(channel: Channel) -> Self {
        EchoClient {
            unary: channel.method("/test.Echo/Unary"),
            download: channel.method("/test.Echo/Download"),
            upload: channel.method("/test.Echo/Upload"),
            chat: channel.method("/test.Echo/Chat"),
            channel,
        }
    }

    pub(crate) fn unary(&self, message: impl Into<Bytes>) -> UnaryCall<Bytes> {
        self.request(Request::new(message.into()))
    }

    pub(crate) fn request(&self, request: Request<Bytes>) -> UnaryCall<Bytes> {
        self.channel.unary::<Raw, _, _>(&self.unary, request)
    }

    pub(crate) fn download(&self, count: u32, size: usize) -> Inbound<Bytes> {
        let mut message = count.to_be_bytes().to_vec();
        message.resize(size.max(4), 7);
        self.channel.server_streaming::<Raw, _, _>(&self.download, Request::new(Bytes::from(message)))
    }

    pub(crate) fn upload(&self) -> (Outbound<Bytes>, UnaryCall<Bytes>) {
        self.upload_with(Request::new(()))
    }

    pub(crate) fn upload_with(&self, request: Request<()>) -> (Outbound<Bytes>, UnaryCall<Bytes>) {
        self.channel.client_streaming::<Raw, _, _>(&self.upload, request)
    }

    pub(crate) fn chat(&self) -> (Outbound<Bytes>, Inbound<Bytes>) {
        self.chat_with(Request::new(()))
    }

    pub(crate) fn chat_with(&self, request: Request<()>) -> (Outbound<Bytes>, Inbound<Bytes>) {
        self.channel.bidi_streaming::<Raw, _, _>(&self.chat, request)
    }
}

pub(crate) fn builder(echo: &Echo) -> ServerBuilder {
    Server::builder().plaintext().add_service(echo.clone())
}

pub(crate) fn serve(echo: &Echo) -> Server {
    builder(echo).bind("127.0.0.1:0").expect("a server on a free loopback port")
}

/// A server at an address of its own.
pub(crate) fn serve_alone(echo: &Echo) -> Server {
    builder(echo).bind(&own_address()).expect("a server on an address of its own")
}

pub(crate) fn client(server: &Server) -> EchoClient {
    connect(&server.local_address().to_string())
}

pub(crate) fn connect(target: &str) -> EchoClient {
    EchoClient::new(Channel::builder(target).plaintext().build().expect("a valid target"))
}

/// Waits until another thread no longer counts on, and says how far it came.
pub(crate) fn settled(count: &AtomicUsize) -> usize {
    loop {
        let before = count.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(200));
        if before > 0 && before == count.load(Ordering::SeqCst) {
            return before;
        }
    }
}

/// For whatever should happen soon, on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a condition holds that another thread brings about.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Tries with longer and longer timeouts until one was long enough for what has to happen before it is over.
#[track_caller]
pub(crate) fn before_a_timeout(what: &str, attempt: impl FnMut(Duration) -> bool) {
    let timeouts = std::iter::successors(Some(Duration::from_millis(50)), |last| Some(*last * 4));
    assert!(
        timeouts.take_while(|timeout| *timeout < PATIENCE).any(attempt),
        "never before a timeout: {what}"
    );
}

/// A free port of a loopback address that nobody else uses, so that a server can be started there again and again.
pub(crate) fn own_address() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let next = NEXT.fetch_add(1, Ordering::SeqCst);
    assert!(next < 255, "a test that takes so many addresses should share them");
    format!("127.{high}.{low}.{next}:0")
}
