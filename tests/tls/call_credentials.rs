//! Call credentials: what they add, where they go, and how they fail.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use lariat::codec::Raw;
use lariat::credentials::{
    BearerToken, CallCredentials, CallTarget, ChannelCredentials, ClientTls, CompositeCallCredentials,
    JwtTokenFile, MetadataFuture, SecurityLevel, ServerCredentials, ServerTls,
};
use lariat::{Channel, Code, Metadata, Request, Server, Status, Wait, sleep};

use super::certificates::Authority;
use super::who::{connect_with, serve, serve_with};

/// Adds what it is told to, after a while if it is told so, with the audience.
#[derive(Clone)]
struct Custom {
    key: &'static str,
    result: Result<&'static str, Status>,
    delay: Option<Duration>,
    level: SecurityLevel,
    asked: Arc<AtomicUsize>,
}

impl Custom {
    fn new(key: &'static str, value: &'static str) -> Self {
        let level = SecurityLevel::PrivacyAndIntegrity;
        Custom { key, result: Ok(value), delay: None, level, asked: Arc::default() }
    }
}

impl CallCredentials for Custom {
    fn metadata(&self, target: &CallTarget) -> MetadataFuture {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!(target.path(), "/test.Who/Sent");
        assert!(target.audience().starts_with("https://") && target.audience().ends_with("/test.Who"));
        let this = self.clone();
        let result: Pin<Box<_>> = Box::pin(async move {
            if let Some(delay) = this.delay {
                sleep(delay).await;
            }
            let mut metadata = Metadata::new();
            metadata.insert(this.key, this.result?)?;
            Ok(metadata)
        });
        result
    }

    fn required_security(&self) -> SecurityLevel {
        self.level
    }
}

fn tls() -> (Server, ChannelCredentials) {
    let authority = Authority::new("authority");
    let server = serve(ServerTls::new(authority.issue(&["localhost"]).identity()));
    (server, ChannelCredentials::tls(ClientTls::new().roots(authority.roots())))
}

/// The metadata that the server received, one entry a line.
fn sent(channel: &Channel, change: impl FnOnce(Request<Bytes>) -> Request<Bytes>) -> Result<String, Status> {
    let request = change(Request::new(Bytes::new()));
    let response = channel.unary::<Raw, Bytes, Bytes>(&channel.method("/test.Who/Sent"), request).wait()?;
    Ok(String::from_utf8(response.into_message().to_vec()).unwrap())
}

#[test]
fn a_bearer_token_of_the_channel_goes_with_each_call() {
    let (server, credentials) = tls();
    let channel = connect_with(&server, credentials.with_call_credentials(BearerToken::new("some-secret")));
    for _ in 0..2 {
        assert_eq!(sent(&channel, |request| request).unwrap(), "authorization: Bearer some-secret");
    }
}

#[test]
fn credentials_of_channel_and_call_are_both_applied() {
    let (server, credentials) = tls();
    let channel = CompositeCallCredentials::new().with(Custom::new("one", "1")).with(Custom::new("two", "2"));
    let channel = credentials.with_call_credentials(channel).with_call_credentials(Custom::new("three", "3"));
    let channel = connect_with(&server, channel);
    let sent = sent(&channel, |request| request.with_call_credentials(Custom::new("four", "4"))).unwrap();
    assert_eq!(sent, "one: 1\ntwo: 2\nthree: 3\nfour: 4");
}

#[test]
fn a_call_waits_for_its_credentials_until_its_deadline_or_until_it_is_dropped() {
    let (server, credentials) = tls();
    let slow = Custom { delay: Some(Duration::from_millis(20)), ..Custom::new("slow", "token") };
    let channel = connect_with(&server, credentials);
    let result = sent(&channel, |request| request.with_call_credentials(slow.clone()));
    assert_eq!(result.unwrap(), "slow: token");
    let slow = Custom { delay: Some(Duration::from_secs(600)), ..slow };
    crate::support::before_a_timeout("the call waits for its credentials", |timeout| {
        let waiting =
            |request: Request<Bytes>| request.with_call_credentials(slow.clone()).with_timeout(timeout);
        let status = sent(&channel, waiting).unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        status.message().contains("call credentials")
    });
    let request = Request::new(Bytes::new()).with_call_credentials(slow.clone());
    drop(channel.unary::<Raw, Bytes, Bytes>(&channel.method("/test.Who/Sent"), request));
    crate::support::eventually("the credentials are given up", || Arc::strong_count(&slow.asked) == 1);
}

#[test]
fn credentials_that_fail_end_the_call() {
    let (server, credentials) = tls();
    let channel = connect_with(&server, credentials);
    for (status, code, part) in [
        (Status::unavailable("no token now"), Code::Unavailable, "no token now"),
        (Status::unauthenticated("no such user"), Code::Unauthenticated, "no such user"),
        // Only servers may say this.
        (Status::not_found("no such key"), Code::Internal, "NOT_FOUND: no such key"),
    ] {
        for delay in [None, Some(Duration::from_millis(1))] {
            let failing = Custom { result: Err(status.clone()), delay, ..Custom::new("key", "") };
            let found = sent(&channel, |request| request.with_call_credentials(failing)).unwrap_err();
            assert_eq!(found.code(), code);
            assert!(found.message().contains(part), "{found}");
        }
    }
    // Reserved names are refused where they would be set.
    let reserved = Custom::new("grpc-timeout", "1S");
    sent(&channel, |request| request.with_call_credentials(reserved)).unwrap_err();
}

#[test]
fn credentials_that_panic_end_the_call_alone() {
    struct Broken(bool);
    impl CallCredentials for Broken {
        fn metadata(&self, _: &CallTarget) -> MetadataFuture {
            assert!(self.0, "asked to panic");
            Box::pin(async {
                sleep(Duration::from_millis(1)).await;
                panic!("asked to panic")
            })
        }
    }
    let (server, credentials) = tls();
    let channel = connect_with(&server, credentials);
    for is_later in [false, true] {
        let broken = Broken(is_later);
        let status = sent(&channel, |request| request.with_call_credentials(broken)).unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, "the call credentials panicked"));
    }
    sent(&channel, |request| request).unwrap();
}

#[test]
fn credentials_are_asked_when_the_call_has_a_connection() {
    let (server, credentials) = tls();
    let nowhere = Channel::builder("ipv4:127.0.0.1:1").credentials(credentials.clone()).build().unwrap();
    let token = Custom::new("key", "token");
    let waiting = |request: Request<Bytes>| {
        let request = request.with_call_credentials(token.clone()).with_wait_for_ready(true);
        request.with_timeout(Duration::from_millis(20))
    };
    assert_eq!(sent(&nowhere, waiting).unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(token.asked.load(Ordering::SeqCst), 0);
    let channel = connect_with(&server, credentials);
    sent(&channel, |request| request.with_call_credentials(token.clone())).unwrap();
    assert_eq!(token.asked.load(Ordering::SeqCst), 1);
}

#[test]
fn credentials_do_not_go_over_connections_that_are_less_secure_than_they_require() {
    let server = serve_with(ServerCredentials::plaintext(), "127.0.0.1:0");
    let builder = Channel::builder(server.local_address().to_string());
    let credentials = ChannelCredentials::plaintext().with_call_credentials(BearerToken::new("secret"));
    let error = builder.credentials(credentials).build().unwrap_err().to_string();
    assert!(error.contains("privacy and integrity") && error.contains("plaintext"), "{error}");
    for credentials in [ChannelCredentials::plaintext(), ChannelCredentials::local()] {
        let channel = connect_with(&server, credentials);
        let token = Custom::new("token", "secret");
        let status = sent(&channel, |request| request.with_call_credentials(token.clone())).unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("require a connection with privacy and integrity"), "{status}");
        assert_eq!(token.asked.load(Ordering::SeqCst), 0, "they are not even asked");
        // Ones that require nothing do.
        let harmless = Custom { level: SecurityLevel::None, ..Custom::new("harmless", "yes") };
        let sent = sent(&channel, |request| request.with_call_credentials(harmless)).unwrap();
        assert_eq!(sent, "harmless: yes");
    }
}

#[test]
fn the_token_of_a_file_is_sent_and_what_is_wrong_with_it_said() {
    use base64::Engine as _;
    let (server, credentials) = tls();
    let directory = std::env::temp_dir().join(format!("lariat-jwt-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let jwt = |claims: String| {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        format!("e30.{claims}.signature")
    };
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let late = seconds(SystemTime::now() + Duration::from_secs(3600));
    let good = jwt(format!("{{\"exp\": {late}}}"));
    let channel = connect_with(&server, credentials);
    for (name, content, expected) in [
        ("good", Some(format!("{good}\n")), Ok(format!("authorization: Bearer {good}"))),
        ("missing", None, Err((Code::Unavailable, "cannot be read"))),
        ("expired", Some(jwt("{\"exp\": 1000}".to_owned())), Err((Code::Unauthenticated, "has expired"))),
        ("timeless", Some(jwt("{}".to_owned())), Err((Code::Unauthenticated, "when it expires"))),
        ("text", Some("secret".to_owned()), Err((Code::Unauthenticated, "three parts"))),
    ] {
        let path = directory.join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let result = sent(&channel, |request| request.with_call_credentials(JwtTokenFile::new(&path)));
        match expected {
            Ok(expected) => assert_eq!(result.unwrap(), expected),
            Err((code, part)) => {
                let status = result.unwrap_err();
                assert_eq!(status.code(), code, "{status}");
                assert!(status.message().contains(part), "{status}");
            }
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
