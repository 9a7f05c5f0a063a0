//! Lariat's client under load, on a current-thread engine.
//!
//! - `lariat-client unary ADDR CONNS INFLIGHT CALLS SIZE`: CALLS calls in all, INFLIGHT at once on each of CONNS
//!   connections, with names of SIZE octets.
//! - `lariat-client down ADDR COUNT SIZE`: one server stream of COUNT chunks of SIZE octets.
//! - `lariat-client bidi ADDR COUNT SIZE`: COUNT chunks to and fro on one stream, sent as fast as they are taken.
//! - `lariat-client beside ADDR COUNT SIZE`: calls with names of SIZE octets, one after the other, for as long as a
//!   server stream of COUNT chunks of 1 MiB takes on the same connection; then as many with the connection to
//!   themselves. A line for each: `stream` (from its second chunk on), `beside` and `alone`.
//!
//! With `--spin MICROSECONDS` in front, the loop looks for events so long before it sleeps.
//!
//! The last line is the JSON of `peer_timing`, with the time that a call or a chunk's way there and back took (for
//! `down`: between two chunks).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::future::try_join;
use lariat::{Channel, Engine, Status};

use helloworld::{Chunk, DownloadRequest, GreeterClient, HelloRequest};
use peer_timing::{Run, all};

mod helloworld {
    lariat::include_proto!("helloworld");
}

const USAGE: &str = "usage: lariat-client [--spin MICROSECONDS] unary ADDR CONNS INFLIGHT CALLS SIZE | down ADDR COUNT SIZE | \
     bidi ADDR COUNT SIZE | beside ADDR COUNT SIZE";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut spin = 0;
    if let [option, microseconds, ..] = arguments.as_slice()
        && option == "--spin"
    {
        spin = microseconds.parse()?;
        arguments.drain(..2);
    }
    let [kind, addr, numbers @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let numbers = numbers.iter().map(|number| number.parse()).collect::<Result<Vec<usize>, _>>()?;
    let engine = Engine::builder().current_thread().busy_poll(Duration::from_micros(spin)).build()?;
    let client = || -> Result<GreeterClient, lariat::Error> {
        let channel = Channel::builder(format!("passthrough:///{addr}"))
            .plaintext()
            .engine(&engine)
            .max_receive_message_size(usize::MAX >> 1)
            .build()?;
        Ok(GreeterClient::new(channel))
    };
    match (kind.as_str(), numbers.as_slice()) {
        ("unary", &[connections, in_flight, calls, size]) => {
            let clients = (0..connections).map(|_| client()).collect::<Result<Vec<_>, _>>()?;
            engine.block_on(unary(&clients, in_flight, calls, size))?;
        }
        ("down", &[count, size]) => engine.block_on(down(client()?, count, size))?,
        ("bidi", &[count, size]) => engine.block_on(bidi(client()?, count, size))?,
        ("beside", &[count, size]) => engine.block_on(beside(client()?, count, size))?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

async fn unary(clients: &[GreeterClient], in_flight: usize, calls: usize, size: usize) -> Result<(), Status> {
    let name = "x".repeat(size);
    let expected = format!("Hello {name}");
    for client in clients {
        // Connections are made before the clock starts.
        client.say_hello(HelloRequest { name: name.clone() }).await?;
    }
    let left = Cell::new(calls);
    let run = RefCell::new(Run::start("unary", calls));
    let lane = |client: &GreeterClient| {
        let client = client.clone();
        async {
            let client = client;
            while left.get() > 0 {
                left.set(left.get() - 1);
                let started = Instant::now();
                let reply = client.say_hello(HelloRequest { name: name.clone() }).await?;
                assert_eq!(reply.message().message, expected);
                run.borrow_mut().took(started.elapsed(), reply.message().message.len());
            }
            Ok::<(), Status>(())
        }
    };
    let lanes = clients.iter().flat_map(|client| std::iter::repeat_n(client, in_flight));
    all(lanes.map(lane).collect()).await?;
    run.borrow_mut().report();
    Ok(())
}

async fn down(client: GreeterClient, count: usize, size: usize) -> Result<(), Status> {
    client.say_hello(HelloRequest { name: "x".into() }).await?;
    let mut run = Run::start("down", count);
    let mut previous = Instant::now();
    let mut inbound = client.download(DownloadRequest { count: count as u32, size: size as u32 });
    while let Some(chunk) = inbound.message().await? {
        let now = Instant::now();
        run.took(now - previous, chunk.payload.len());
        previous = now;
    }
    run.report();
    Ok(())
}

async fn bidi(client: GreeterClient, count: usize, size: usize) -> Result<(), Status> {
    client.say_hello(HelloRequest { name: "x".into() }).await?;
    let chunk = Chunk { payload: vec![b'x'; size].into() };
    let mut run = Run::start("bidi", count);
    let sent = RefCell::new(VecDeque::new());
    let (outbound, mut inbound) = client.echo(());
    let send = async {
        for _ in 0..count {
            sent.borrow_mut().push_back(Instant::now());
            outbound.send(chunk.clone()).await?;
        }
        outbound.finish();
        Ok::<(), Status>(())
    };
    let receive = async {
        while let Some(chunk) = inbound.message().await? {
            let started = sent.borrow_mut().pop_front();
            run.took(started.map_or(Duration::ZERO, |started| started.elapsed()), chunk.payload.len());
        }
        Ok::<(), Status>(())
    };
    try_join(send, receive).await?;
    run.report();
    Ok(())
}

/// Calls beside a stream of large chunks, and alone.
async fn beside(client: GreeterClient, chunks: usize, size: usize) -> Result<(), Status> {
    let name = "x".repeat(size);
    let expected = format!("Hello {name}");
    let call = async |run: &mut Run| {
        let started = Instant::now();
        let reply = client.say_hello(HelloRequest { name: name.clone() }).await?;
        assert_eq!(reply.message().message, expected);
        run.took(started.elapsed(), reply.message().message.len());
        Ok::<(), Status>(())
    };
    let mut inbound = client.download(DownloadRequest { count: chunks as u32, size: 1 << 20 });
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
