//! The header lists of a small unary call.

use lariat_frame::hpack::{HeaderList, Indexing};

/// The head of a request.
pub fn request() -> HeaderList {
    list(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/helloworld.Greeter/SayHello"),
        (":authority", "localhost:50051"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-rust-lariat/0.1.0"),
        ("te", "trailers"),
    ])
}

/// The field of a request that varies from call to call.
pub fn timeout() -> HeaderList {
    let mut fields = HeaderList::new();
    fields.push(b"grpc-timeout", b"998831u", Indexing::Skip);
    fields
}

/// The head of a response.
pub fn response() -> HeaderList {
    list(&[(":status", "200"), ("content-type", "application/grpc")])
}

/// The trailers of a response without error.
pub fn trailers() -> HeaderList {
    list(&[("grpc-status", "0")])
}

fn list(fields: &[(&str, &str)]) -> HeaderList {
    let mut list = HeaderList::new();
    for (name, value) in fields {
        list.push(name.as_bytes(), value.as_bytes(), Indexing::Index);
    }
    list
}
