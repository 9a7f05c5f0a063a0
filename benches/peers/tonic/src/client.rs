//! tonic's client under load, on tokio's current-thread runtime, with the modes and the line of JSON of lariat-client.
//!
//! `tonic-client unary ADDR CONNS INFLIGHT CALLS SIZE | down ADDR COUNT SIZE | bidi ADDR COUNT SIZE |
//! beside ADDR COUNT SIZE`

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use helloworld::greeter_client::GreeterClient;
use helloworld::{Chunk, DownloadRequest, HelloRequest};
use peer_timing::{Run, all};

#[allow(missing_docs)]
mod helloworld {
    tonic::include_proto!("helloworld");
}

const USAGE: &str = "usage: tonic-client unary ADDR CONNS INFLIGHT CALLS SIZE | down ADDR COUNT SIZE | \
     bidi ADDR COUNT SIZE | beside ADDR COUNT SIZE";

type Client = GreeterClient<Channel>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, addr, numbers @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<usize>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{addr}"))?;
        let connections = if kind == "unary" { numbers[0] } else { 1 };
        let mut clients = Vec::new();
        for _ in 0..connections {
            let mut client = GreeterClient::new(endpoint.connect().await?);
            client.say_hello(HelloRequest { name: "x".into() }).await?;
            clients.push(client);
        }
        match (kind.as_str(), numbers.as_slice()) {
            ("unary", &[_, in_flight, calls, size]) => unary(&clients, in_flight, calls, size).await?,
            ("down", &[count, size]) => down(clients.remove(0), count, size).await?,
            ("bidi", &[count, size]) => bidi(clients.remove(0), count, size).await?,
            ("beside", &[count, size]) => beside(clients.remove(0), count, size).await?,
            _ => return Err(USAGE.into()),
        }
        Ok(())
    })
}

async fn unary(clients: &[Client], in_flight: usize, calls: usize, size: usize) -> Result<(), Status> {
    let name = "x".repeat(size);
    let expected = format!("Hello {name}");
    let left = Cell::new(calls);
    let run = RefCell::new(Run::start("unary", calls));
    let lane = |client: &Client| {
        let client = client.clone();
        async {
            let mut client = client;
            while left.get() > 0 {
                left.set(left.get() - 1);
                let started = Instant::now();
                let reply = client.say_hello(HelloRequest { name: name.clone() }).await?.into_inner();
                assert_eq!(reply.message, expected);
                run.borrow_mut().took(started.elapsed(), reply.message.len());
            }
            Ok::<(), Status>(())
        }
    };
    let lanes = clients.iter().flat_map(|client| std::iter::repeat_n(client, in_flight));
    all(lanes.map(lane).collect()).await?;
    run.borrow_mut().report();
    Ok(())
}

async fn down(mut client: Client, count: usize, size: usize) -> Result<(), Status> {
    let mut run = Run::start("down", count);
    let mut previous = Instant::now();
    let request = DownloadRequest { count: count as u32, size: size as u32 };
    let mut inbound = client.download(request).await?.into_inner();
    while let Some(chunk) = inbound.message().await? {
        let now = Instant::now();
        run.took(now - previous, chunk.payload.len());
        previous = now;
    }
    run.report();
    Ok(())
}

async fn bidi(mut client: Client, count: usize, size: usize) -> Result<(), Status> {
    let chunk = Chunk { payload: vec![b'x'; size].into() };
    let mut run = Run::start("bidi", count);
    let sent = Arc::new(Mutex::new(VecDeque::new()));
    let outbound = {
        let sent = Arc::clone(&sent);
        tokio_stream::iter((0..count).map(move |_| {
            sent.lock().unwrap_or_else(PoisonError::into_inner).push_back(Instant::now());
            chunk.clone()
        }))
    };
    let mut inbound = client.echo(outbound).await?.into_inner();
    while let Some(chunk) = inbound.message().await? {
        let started = sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        run.took(started.map_or(Duration::ZERO, |started| started.elapsed()), chunk.payload.len());
    }
    run.report();
    Ok(())
}

/// Calls beside a stream of large chunks, and alone.
async fn beside(client: Client, chunks: usize, size: usize) -> Result<(), Status> {
    let name = "x".repeat(size);
    let expected = format!("Hello {name}");
    let call = async |run: &mut Run| {
        let started = Instant::now();
        let reply = client.clone().say_hello(HelloRequest { name: name.clone() }).await?.into_inner();
        assert_eq!(reply.message, expected);
        run.took(started.elapsed(), reply.message.len());
        Ok::<(), Status>(())
    };
    let request = DownloadRequest { count: chunks as u32, size: 1 << 20 };
    let mut inbound = client.clone().download(request).await?.into_inner();
    inbound.message().await?; // The stream runs.
    let mut large = Run::start("stream", chunks);
    let mut previous = Instant::now();
    let ended = Cell::new(false);
    let stream = async {
        while let Some(chunk) = inbound.message().await? {
            let now = Instant::now();
            large.took(now - previous, chunk.payload.len());
            previous = now;
        }
        large.report();
        ended.set(true);
        Ok::<(), Status>(())
    };
    let mut run = Run::start("beside", 0);
    let mut n = 0;
    let calls = async {
        while !ended.get() {
            call(&mut run).await?;
            n += 1;
        }
        Ok::<(), Status>(())
    };
    try_join(stream, calls).await?;
    run.report();
    let mut run = Run::start("alone", n);
    for _ in 0..n {
        call(&mut run).await?;
    }
    run.report();
    Ok(())
}
