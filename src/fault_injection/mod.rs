//! Two whole engines, a channel on one and a server with handlers on the other, with a seeded wire between them and
//! made-up time: whatever befalls the wire, every call ends once and right, and nothing is left behind.

mod copies;
mod every_octet;
mod idleness;
mod keepalive;
mod seeds;
mod slow_end;
mod world;
