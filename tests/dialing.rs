//! Connections that the channel's engine does not make itself.

mod support;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use lariat::client::dialer::{Dialed, HttpProxy, ProxySettings};
use lariat::{Address, Channel, Code, Wait};
use support::*;

#[test]
fn a_dialer_of_ones_own_makes_the_connections() {
    let server = serve(&Echo::default());
    let target = server.local_address().to_string();
    let dialed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dialed);
    // The channel knows another address than the one that the dialer connects to.
    let dial = move |address: &Address, deadline: Instant| -> io::Result<Dialed> {
        assert_eq!(address.to_string(), "192.0.2.1:50051");
        assert!(deadline > Instant::now());
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(TcpStream::connect(&target)?.into())
    };
    let channel = Channel::builder("192.0.2.1:50051").dialer(dial).plaintext().build().unwrap();
    let client = EchoClient::new(channel);
    assert_eq!(client.unary("x").wait().unwrap().into_message(), "x");
    client.unary("x").wait().unwrap();
    assert_eq!(dialed.load(Ordering::SeqCst), 1);
}

#[test]
fn what_a_dialer_says_went_wrong_is_in_the_status() {
    let dial = |_: &Address, _: Instant| -> io::Result<Dialed> { Err(io::Error::other("no line is free")) };
    let channel = Channel::builder("192.0.2.1:50051").dialer(dial).plaintext().build().unwrap();
    let status = EchoClient::new(channel).unary("x").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("192.0.2.1:50051: no line is free"), "{status:?}");
}

#[test]
fn a_dialer_that_panics_has_failed() {
    let dial = |_: &Address, _: Instant| -> io::Result<Dialed> { panic!("the dialer's own fault") };
    let channel = Channel::builder("192.0.2.1:50051").dialer(dial).plaintext().build().unwrap();
    let status = EchoClient::new(channel).unary("x").wait().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("192.0.2.1:50051: the dialer panicked"), "{status:?}");
}

/// A proxy for one connection: what it was asked, and how it answers.
fn proxy(answer: impl Into<String>, leads_to: Option<String>) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:secret@{}", listener.local_addr().unwrap());
    let answer = answer.into();
    let serve = move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            client.read_exact(&mut octet).unwrap();
            head.extend_from_slice(&octet);
        }
        // It may be cut off in the middle of a long one.
        let _ = client.write_all(answer.as_bytes());
        if let Some(address) = leads_to {
            let mut server = TcpStream::connect(address).unwrap();
            let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || io::copy(&mut from_server, &mut to_client));
            std::thread::spawn(move || io::copy(&mut client, &mut server));
        }
        String::from_utf8(head).unwrap()
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn calls_go_through_an_http_proxy() {
    let server = serve(&Echo::default());
    let (url, asked) = proxy("HTTP/1.1 200 OK\r\nVia: x\r\n\r\n", Some(server.local_address().to_string()));
    let proxy = HttpProxy::parse(&url).unwrap();
    let channel = Channel::builder("192.0.2.1:50051").dialer(proxy).plaintext().build().unwrap();
    assert_eq!(EchoClient::new(channel).unary("x").wait().unwrap().into_message(), "x");
    assert_eq!(
        asked.join().unwrap(),
        "CONNECT 192.0.2.1:50051 HTTP/1.1\r\nHost: 192.0.2.1:50051\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
    );
}

#[test]
fn a_proxy_that_refuses_is_quoted() {
    let (url, asked) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", None);
    let proxy = HttpProxy::parse(&url).unwrap();
    let channel = Channel::builder("192.0.2.1:50051").dialer(proxy).plaintext().build().unwrap();
    let status = EchoClient::new(channel).unary("x").wait().unwrap_err();
    assert!(
        status.message().contains("it answered \"HTTP/1.1 407 Proxy Authentication Required\""),
        "{status:?}"
    );
    asked.join().unwrap();
}

#[test]
fn a_proxy_that_never_ends_its_head_is_given_up() {
    let (url, asked) = proxy(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000)), None);
    let proxy = HttpProxy::parse(&url).unwrap();
    let channel = Channel::builder("192.0.2.1:50051").dialer(proxy).plaintext().build().unwrap();
    let status = EchoClient::new(channel).unary("x").wait().unwrap_err();
    assert!(status.message().ends_with("the head of its answer is too long"), "{status:?}");
    asked.join().unwrap();
}

#[test]
fn a_dns_name_is_left_to_the_proxy_that_the_settings_name() {
    let server = serve(&Echo::default());
    let (url, asked) = proxy("HTTP/1.1 200 OK\r\n\r\n", Some(server.local_address().to_string()));
    let settings = ProxySettings { https_proxy: Some(url), no_proxy: String::new() };
    // A name that nobody else can resolve, without a port.
    let channel = Channel::builder("greeter.invalid").proxy(settings).plaintext().build().unwrap();
    assert_eq!(EchoClient::new(channel).unary("x").wait().unwrap().into_message(), "x");
    let head = asked.join().unwrap();
    assert!(
        head.starts_with("CONNECT greeter.invalid:443 HTTP/1.1\r\nHost: greeter.invalid:443\r\n"),
        "{head}"
    );
}

#[test]
fn what_the_settings_exempt_is_reached_directly() {
    let server = serve(&Echo::default());
    // Nothing listens there.
    let nowhere = || Some("http://127.0.0.1:1".to_owned());
    let target = server.local_address().to_string();
    for (target, no_proxy) in [
        (target.clone(), ""),
        (target.replace("127.0.0.1", "localhost"), ""),
        (format!("passthrough:///{target}"), ""),
        (format!("ipv4:{target}"), ""),
    ] {
        let settings = ProxySettings { https_proxy: nowhere(), no_proxy: no_proxy.to_owned() };
        let channel = Channel::builder(target).proxy(settings).plaintext().build().unwrap();
        assert_eq!(EchoClient::new(channel).unary("x").wait().unwrap().into_message(), "x");
    }
    let settings = ProxySettings { https_proxy: nowhere(), no_proxy: "other.invalid".to_owned() };
    // The system's resolver refuses the label by its length, without a question to anybody.
    let target = format!("{}.invalid", "a".repeat(70));
    let fails_by = |settings: ProxySettings| {
        let channel = Channel::builder(&target).proxy(settings).plaintext().build().unwrap();
        EchoClient::new(channel).unary("x").wait().unwrap_err().message().to_owned()
    };
    let failure = fails_by(settings.clone());
    assert!(failure.contains("127.0.0.1:1: through the HTTP proxy 127.0.0.1:1: "), "{failure}");
    let failure = fails_by(ProxySettings { no_proxy: ".invalid".to_owned(), ..settings });
    assert!(failure.contains("cannot resolve \"aaa"), "{failure}");
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_of_the_channel() {
    let settings = ProxySettings { https_proxy: Some("socks5://proxy".to_owned()), no_proxy: String::new() };
    let error = Channel::builder("greeter.invalid").proxy(settings.clone()).plaintext().build().unwrap_err();
    assert!(error.to_string().contains("without_proxy"), "{error}");
    Channel::builder("localhost").proxy(settings).plaintext().build().unwrap();
}
