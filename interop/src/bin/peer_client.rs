//! The client of the interop matrix: runs the checks that `README.md` lists and prints a line for each.
//!
//! `peer_client --addr HOST:PORT [GROUP|CHECK ...]`; ends with status 1 if a check failed.

use std::error::Error;
use std::fmt::Debug;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lariat::codec::Prost;
use lariat::{Channel, Code, Inbound, Metadata, Outbound, Request, Status, Wait};
use lariat_interop::helloworld::{GreeterClient, HelloReply, HelloRequest};
use lariat_interop::routeguide::{Feature, Point, Rectangle, RouteGuideClient, RouteNote};

/// Bounds each call, so that a peer that never answers cannot hold up the run.
const CALL_TIME: Duration = Duration::from_secs(20);

/// A status message with what has to be escaped on the way.
const AWKWARD: &str = "100 % of café, naïve 日本語 \u{1F40E}\r\nand a second line";

type Checked = Result<(), Box<dyn Error>>;

/// Group, name and what to do.
type Check = (&'static str, &'static str, fn(&Peer) -> Checked);

/// The checks by group, in the order in which they run.
const CHECKS: &[Check] = &[
    ("greeter", "unary", unary),
    ("greeter", "server_streaming", server_streaming),
    ("greeter", "bidi_streaming", bidi_streaming),
    ("greeter", "metadata", metadata),
    ("greeter", "missing_name", missing_name),
    ("greeter", "deadline", deadline),
    ("greeter", "cancel", cancel),
    ("greeter", "unknown_method", unknown_method),
    ("greeter", "unknown_service", unknown_service),
    ("greeter", "large_message", large_message),
    ("greeter", "large_stream", large_stream),
    ("greeter", "concurrent_calls", concurrent_calls),
    ("rules", "metadata_stream", metadata_stream),
    ("rules", "metadata_duplicates", metadata_duplicates),
    ("rules", "status_message", status_message),
    ("rules", "server_abort", server_abort),
    ("rules", "server_abort_bidi", server_abort_bidi),
    ("rules", "server_sees_cancel", server_sees_cancel),
    ("rules", "server_sees_deadline", server_sees_deadline),
    ("route_guide", "list_features", list_features),
    ("route_guide", "get_feature", get_feature),
    ("route_guide", "get_feature_nowhere", get_feature_nowhere),
    ("route_guide", "record_route", record_route),
    ("route_guide", "route_chat", route_chat),
];

/// The server under test.
struct Peer {
    channel: Channel,
    greeter: GreeterClient,
    guide: RouteGuideClient,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [option, addr, wanted @ ..] = arguments.as_slice() else {
        return Err("usage: peer_client --addr HOST:PORT [GROUP|CHECK ...]".into());
    };
    if option != "--addr" {
        return Err(format!("unknown option {option}").into());
    }
    let channel = Channel::builder(format!("passthrough:///{addr}")).plaintext().build()?;
    let peer = Peer {
        greeter: GreeterClient::new(channel.clone()),
        guide: RouteGuideClient::new(channel.clone()),
        channel,
    };
    let mut code = ExitCode::SUCCESS;
    for (group, name, check) in CHECKS {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == group || word == name) {
            continue;
        }
        match check(&peer) {
            Ok(()) => println!("ok {name}"),
            Err(why) => {
                println!("FAILED {name}: {why}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn unary(peer: &Peer) -> Checked {
    expect("reply", peer.say_hello("world")?.as_str(), "Hello world")
}

fn server_streaming(peer: &Peer) -> Checked {
    let mut inbound = peer.greeter.say_hello_stream_reply(bounded(hello("world")));
    let mut replies = 0;
    while let Some(reply) = inbound.message().wait()? {
        replies += 1;
        expect("whether it is a greeting", reply.message.starts_with("Hello world"), true)?;
    }
    expect("whether there were replies", replies > 0, true)
}

fn bidi_streaming(peer: &Peer) -> Checked {
    let mut conversation = peer.converse(Metadata::new());
    for name in ["a", "b", "c", "d", "e"] {
        conversation.ping_pong(name)?;
    }
    conversation.finish()?;
    Ok(())
}

fn metadata(peer: &Peer) -> Checked {
    let mut request = bounded(hello("world"));
    request.metadata_mut().insert("x-echo", "echoed value")?;
    request.metadata_mut().insert_bin("x-echo-bin", b"\x00\x01\xfe\xff")?;
    let response = peer.greeter.say_hello(request).wait()?;
    expect_values(response.metadata(), "x-echo", &["echoed value"])?;
    expect_binary(response.metadata(), "x-echo-bin", &[b"\x00\x01\xfe\xff"])?;
    expect_values(response.trailers(), "x-echo-trailer", &["echoed value"])
}

fn metadata_stream(peer: &Peer) -> Checked {
    let mut sent = Metadata::new();
    sent.insert("x-echo", "on a stream")?;
    sent.insert_bin("x-echo-bin", b"\xff")?;
    let mut conversation = peer.converse(sent);
    // Before any message: the server must not wait for one.
    let header = conversation.inbound.headers().wait()?.clone();
    conversation.ping_pong("world")?;
    let trailer = conversation.finish()?;
    expect_values(&header, "x-echo", &["on a stream"])?;
    expect_binary(&header, "x-echo-bin", &[b"\xff"])?;
    expect_values(&trailer, "x-echo-trailer", &["on a stream"])
}

fn metadata_duplicates(peer: &Peer) -> Checked {
    let mut request = bounded(hello("world"));
    request.metadata_mut().append("x-echo", "one")?;
    request.metadata_mut().append("x-echo", "two")?;
    request.metadata_mut().append_bin("x-echo-bin", b"\x00")?;
    request.metadata_mut().append_bin("x-echo-bin", b"\x01\x02")?;
    let response = peer.greeter.say_hello(request).wait()?;
    expect_values(response.metadata(), "x-echo", &["one", "two"])?;
    expect_binary(response.metadata(), "x-echo-bin", &[b"\x00", b"\x01\x02"])?;
    expect_values(response.trailers(), "x-echo-trailer", &["one", "two"])
}

fn missing_name(peer: &Peer) -> Checked {
    expect_status(peer.say_hello(""), Code::InvalidArgument, Some("request missing required field: name"))
}

fn status_message(peer: &Peer) -> Checked {
    let name = format!("status:9:{AWKWARD}");
    expect_status(peer.say_hello(&name), Code::FailedPrecondition, Some(AWKWARD))
}

fn deadline(peer: &Peer) -> Checked {
    // An hour: whoever waited for the answer would be ended by the script.
    let request = Request::new(hello("delay:3600000")).with_timeout(Duration::from_millis(200));
    expect_status(peer.greeter.say_hello(request).wait(), Code::DeadlineExceeded, None)
}

fn server_sees_deadline(peer: &Peer) -> Checked {
    let key = watch_key("deadline");
    // Long enough for the call to reach its handler, on a busy machine as well.
    let mut request = Request::new(hello("delay:3600000")).with_timeout(Duration::from_secs(1));
    request.metadata_mut().insert("x-watch", &key)?;
    expect_status(peer.greeter.say_hello(request).wait(), Code::DeadlineExceeded, None)?;
    peer.expect_seen_cancelled(&key)
}

fn cancel(peer: &Peer) -> Checked {
    cancel_watched(peer, Metadata::new())?;
    // The connection goes on.
    unary(peer)
}

fn server_sees_cancel(peer: &Peer) -> Checked {
    let key = watch_key("cancel");
    let mut sent = Metadata::new();
    sent.insert("x-watch", &key)?;
    cancel_watched(peer, sent)?;
    peer.expect_seen_cancelled(&key)
}

/// Cancels a call in the middle, which is what dropping its two sides does.
fn cancel_watched(peer: &Peer, sent: Metadata) -> Checked {
    let mut conversation = peer.converse(sent);
    conversation.ping_pong("one")?;
    conversation.ping_pong("two")?;
    let Conversation { outbound, inbound } = conversation;
    drop(inbound);
    drop(outbound);
    Ok(())
}

fn server_abort(peer: &Peer) -> Checked {
    let mut inbound = peer.greeter.say_hello_stream_reply(bounded(hello("status:10:given up")));
    expect("whether a reply came", inbound.message().wait()?.is_some(), true)?;
    expect_status(inbound.message().wait(), Code::Aborted, Some("given up"))
}

fn server_abort_bidi(peer: &Peer) -> Checked {
    let mut conversation = peer.converse(Metadata::new());
    conversation.ping_pong("one")?;
    // Our side stays open: the server alone ends the call.
    conversation.outbound.send(hello("status:10:given up")).wait()?;
    expect_status(conversation.inbound.message().wait(), Code::Aborted, Some("given up"))
}

fn unknown_method(peer: &Peer) -> Checked {
    expect_status(peer.call_unknown("/helloworld.Greeter/NoSuchMethod"), Code::Unimplemented, None)
}

fn unknown_service(peer: &Peer) -> Checked {
    expect_status(peer.call_unknown("/no.such.Service/Method"), Code::Unimplemented, None)
}

fn large_message(peer: &Peer) -> Checked {
    let name = "x".repeat(1 << 20);
    expect("whether the reply is the whole name", peer.say_hello(&name)? == format!("Hello {name}"), true)
}

fn large_stream(peer: &Peer) -> Checked {
    let mut conversation = peer.converse(Metadata::new());
    for letter in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        conversation.ping_pong(&letter.repeat(512 << 10))?;
    }
    conversation.finish()?;
    Ok(())
}

fn concurrent_calls(peer: &Peer) -> Checked {
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..100)
            .map(|number| {
                let name = format!("caller {number}");
                scope.spawn(move || (peer.say_hello(&name), format!("Hello {name}")))
            })
            .collect();
        for caller in callers {
            let (reply, greeting) = caller.join().map_err(|_| "a caller panicked")?;
            expect("reply", reply?, greeting)?;
        }
        Ok(())
    })
}

const NOWHERE: Point = Point { latitude: 1, longitude: 2 };

const WORLD: Rectangle = Rectangle {
    lo: Some(Point { latitude: -900_000_000, longitude: -1_800_000_000 }),
    hi: Some(Point { latitude: 900_000_000, longitude: 1_800_000_000 }),
};

fn list_features(peer: &Peer) -> Checked {
    expect("whether the world has features", peer.features(WORLD)?.is_empty(), false)?;
    expect("features nowhere", peer.features(Rectangle { lo: Some(NOWHERE), hi: Some(NOWHERE) })?, Vec::new())
}

fn get_feature(peer: &Peer) -> Checked {
    let known = peer.named_feature()?;
    let location = known.location.unwrap_or_default();
    expect("feature", peer.guide.get_feature(bounded(location)).wait()?.into_message(), known)
}

fn get_feature_nowhere(peer: &Peer) -> Checked {
    let feature = peer.guide.get_feature(bounded(NOWHERE)).wait()?.into_message();
    expect("feature", feature, Feature { name: String::new(), location: Some(NOWHERE) })
}

fn record_route(peer: &Peer) -> Checked {
    let known = peer.named_feature()?.location.unwrap_or_default();
    let (outbound, call) = peer.guide.record_route(bounded(()));
    for number in 0..1000 {
        let point = if number == 500 { known } else { Point { latitude: number, longitude: number } };
        outbound.send(point).wait()?;
    }
    outbound.finish();
    let summary = call.wait()?.into_message();
    expect("number of points", summary.point_count, 1000)?;
    expect("number of features", summary.feature_count, 1)?;
    expect("whether the route has a length", summary.distance > 0, true)
}

fn route_chat(peer: &Peer) -> Checked {
    // A place of this run's own: some servers keep notes from one call to the next.
    let here = Point { latitude: std::process::id() as i32, longitude: 7 };
    let (outbound, mut inbound) = peer.guide.route_chat(bounded(()));
    for message in ["first", "second"] {
        outbound.send(RouteNote { location: Some(here), message: message.into() }).wait()?;
    }
    outbound.finish();
    let mut repeated = false;
    while let Some(note) = inbound.message().wait()? {
        expect("place of the note", note.location, Some(here))?;
        repeated |= note.message == "first";
    }
    expect("whether the first note was repeated", repeated, true)
}

impl Peer {
    /// The greeting of one unary call.
    fn say_hello(&self, name: &str) -> Result<String, Status> {
        Ok(self.greeter.say_hello(bounded(hello(name))).wait()?.into_message().message)
    }

    fn converse(&self, metadata: Metadata) -> Conversation {
        let mut request = bounded(());
        *request.metadata_mut() = metadata;
        let (outbound, inbound) = self.greeter.say_hello_bidi_stream(request);
        Conversation { outbound, inbound }
    }

    fn call_unknown(&self, path: &str) -> Result<HelloReply, Status> {
        let method = self.channel.method(path);
        let response =
            self.channel.unary::<Prost, HelloRequest, HelloReply>(&method, bounded(hello("x"))).wait()?;
        Ok(response.into_message())
    }

    /// Waits until the server says that the call with this `x-watch` key was cancelled.
    fn expect_seen_cancelled(&self, key: &str) -> Checked {
        let begin = Instant::now();
        while begin.elapsed() < CALL_TIME {
            if self.say_hello(&format!("cancelled:{key}"))? == "true" {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the server did not see the call end".into())
    }

    fn features(&self, area: Rectangle) -> Result<Vec<Feature>, Status> {
        let mut inbound = self.guide.list_features(bounded(area));
        let mut features = Vec::new();
        while let Some(feature) = inbound.message().wait()? {
            features.push(feature);
        }
        Ok(features)
    }

    /// Some feature that the server knows.
    fn named_feature(&self) -> Result<Feature, Box<dyn Error>> {
        let features = self.features(WORLD)?;
        features.into_iter().find(|feature| !feature.name.is_empty()).ok_or("no feature has a name".into())
    }
}

/// A SayHelloBidiStream call.
struct Conversation {
    outbound: Outbound<HelloRequest>,
    inbound: Inbound<HelloReply>,
}

impl Conversation {
    /// Sends one name and waits for its greeting.
    fn ping_pong(&mut self, name: &str) -> Checked {
        self.outbound.send(hello(name)).wait()?;
        let reply = self.inbound.message().wait()?.ok_or("the end instead of a reply")?;
        expect("whether the reply greets the name", reply.message == format!("Hello {name}"), true)
    }

    /// Closes our side, expects the call to end well and returns the trailers.
    fn finish(mut self) -> Result<Metadata, Box<dyn Error>> {
        self.outbound.finish();
        expect("further reply", self.inbound.message().wait()?, None)?;
        Ok(self.inbound.trailers().clone())
    }
}

fn hello(name: &str) -> HelloRequest {
    HelloRequest { name: name.into() }
}

fn bounded<T>(message: T) -> Request<T> {
    Request::new(message).with_timeout(CALL_TIME)
}

fn watch_key(check: &str) -> String {
    format!("lariat-{}-{check}", std::process::id())
}

fn expect<T: PartialEq + Debug>(what: &str, got: T, want: T) -> Checked {
    if got == want { Ok(()) } else { Err(format!("{what} is {got:?} instead of {want:?}").into()) }
}

fn expect_values(metadata: &Metadata, key: &str, want: &[&str]) -> Checked {
    expect(key, metadata.get_all(key).collect::<Vec<_>>().as_slice(), want)
}

fn expect_binary(metadata: &Metadata, key: &str, want: &[&[u8]]) -> Checked {
    let want: Vec<Vec<u8>> = want.iter().map(|value| value.to_vec()).collect();
    expect(key, metadata.get_all_bin(key).collect::<Vec<_>>(), want)
}

/// Expects a status of the code and, where given, of the message.
fn expect_status<T: Debug>(result: Result<T, Status>, code: Code, message: Option<&str>) -> Checked {
    match result {
        Ok(reply) => Err(format!("{reply:?} instead of {code}").into()),
        Err(status) => {
            expect("status", status.code(), code)?;
            message.map_or(Ok(()), |message| expect("status message", status.message(), message))
        }
    }
}
