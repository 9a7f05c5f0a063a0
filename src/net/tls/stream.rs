//! The TLS state of one connection.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use lariat_frame::WriteBuf;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, ServerConfig};
use rustls_pki_types::ServerName;

use super::ALPN;
use super::failure::{self, Stage};
use super::info::TlsInfo;
use crate::net::peer::{Peer, PeerAddress};

/// The largest content of one record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// Plaintext encrypted at once: what fits the loop's buffer with its overhead, and leaves room for a change of keys.
const ENCRYPTED_AT_ONCE: usize = 4 * RECORD;
/// Slices gathered from the output for one encryption.
const MAX_SLICES: usize = 64;
/// Room for one record beside its content; TLS 1.2 needs the most, 5 octets of header, 8 of nonce and 16 of tag.
const RECORD_OVERHEAD: usize = 32;

/// Told of each handshake that failed.
pub(crate) type FailureHook = Arc<dyn Fn(&PeerAddress, &io::Error) + Send + Sync>;

/// A TLS connection without its socket.
pub(crate) struct TlsStream {
    end: End,
    /// Ciphertext that arrived and is no whole record, or handshake message, yet.
    kept: Vec<u8>,
    /// Ciphertext that the kernel has not taken.
    pending: Vec<u8>,
    close_sent: bool,
    peer_closed: bool,
    handshake_timeout: Option<Duration>,
    on_failure: Option<FailureHook>,
}

enum End {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What rustls wants after a step.
enum Step {
    /// It may have more to do at once.
    More,
    /// It needs ciphertext, or something to send.
    Idle,
}

impl TlsStream {
    /// The client's side; `name` is who the server has to be.
    pub(crate) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let connection = UnbufferedClientConnection::new(config, name);
        Ok(TlsStream::new(End::Client(Box::new(connection.map_err(io::Error::other)?))))
    }

    /// The server's side. A handshake that takes longer than `handshake_timeout` is ended.
    pub(crate) fn server(
        config: Arc<ServerConfig>,
        handshake_timeout: Duration,
        on_failure: Option<FailureHook>,
    ) -> io::Result<Self> {
        let connection = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let stream = TlsStream::new(End::Server(Box::new(connection)));
        Ok(TlsStream { handshake_timeout: Some(handshake_timeout), on_failure, ..stream })
    }

    fn new(end: End) -> Self {
        TlsStream {
            end,
            kept: Vec::new(),
            pending: Vec::new(),
            close_sent: false,
            peer_closed: false,
            handshake_timeout: None,
            on_failure: None,
        }
    }

    /// How long the handshake may take; a client's deadline is that of its connect.
    pub(in crate::net) fn handshake_timeout(&self) -> Option<Duration> {
        self.handshake_timeout
    }

    /// Says what there is to say before anything arrives: the client's first message.
    pub(in crate::net) fn start(&mut self) -> io::Result<()> {
        self.process(&mut [], &mut Vec::new()).1
    }

    /// Has rustls say what it has to say although nothing arrived. It has to see again what it has kept in mind.
    fn settle(&mut self) -> io::Result<()> {
        let mut kept = std::mem::take(&mut self.kept);
        let (consumed, result) = self.process(&mut kept, &mut Vec::new());
        kept.drain(..consumed);
        self.kept = kept;
        result
    }

    /// What has to stand in front of the ciphertext that arrives next.
    pub(in crate::net) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes ciphertext, what was kept included, and appends what it means to `plain`. On an error, what came before
    /// it has been appended, and the alert that tells the peer is pending.
    pub(in crate::net) fn decrypt(&mut self, ciphertext: &mut [u8], plain: &mut Vec<u8>) -> io::Result<()> {
        let (consumed, result) = self.process(ciphertext, plain);
        match ciphertext.get(consumed..) {
            Some(rest) if !rest.is_empty() => {
                self.kept.clear();
                self.kept.extend_from_slice(rest);
            }
            _ => self.kept = Vec::new(),
        }
        result
    }

    /// Encrypts from the front of `out` into `target` and returns how much of that was filled. Nothing while something
    /// is pending, which has to leave first.
    pub(in crate::net) fn encrypt(
        &mut self,
        out: &mut WriteBuf,
        gathered: &mut Vec<u8>,
        target: &mut [u8],
    ) -> io::Result<usize> {
        // A change of keys, say, goes out first.
        if self.state().wants_write() {
            self.settle()?;
        }
        if !self.pending.is_empty() {
            return Ok(0);
        }
        let most = ENCRYPTED_AT_ONCE.min(target.len() / (RECORD + RECORD_OVERHEAD) * RECORD);
        let source = match out.contiguous() {
            Some(octets) => &octets[..octets.len().min(most)],
            None => {
                gather(out, gathered, most);
                &gathered[..]
            }
        };
        let filled = match &mut self.end {
            End::Client(client) => encrypt(client.process_tls_records(&mut self.kept), source, target),
            End::Server(server) => encrypt(server.process_tls_records(&mut self.kept), source, target),
        }?;
        let taken = source.len();
        out.advance(taken);
        Ok(filled)
    }

    /// Ciphertext to be written before anything else.
    pub(in crate::net) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// The kernel took so much of what is pending.
    pub(in crate::net) fn advance(&mut self, written: usize) {
        if written >= self.pending.len() {
            self.pending = Vec::new();
        } else {
            self.pending.drain(..written);
        }
    }

    /// The kernel did not take this.
    pub(in crate::net) fn keep_pending(&mut self, rest: &[u8]) {
        self.pending.extend_from_slice(rest);
    }

    /// Whether the handshake has ended well, so that octets of the session may go both ways.
    pub(in crate::net) fn is_established(&self) -> bool {
        !self.state().is_handshaking()
    }

    /// The peer as the handshake has shown it. An error if it does not speak HTTP/2.
    pub(in crate::net) fn peer(
        &mut self,
        address: PeerAddress,
        local: Option<PeerAddress>,
    ) -> io::Result<Peer> {
        if self.state().alpn_protocol() != Some(ALPN) {
            self.close();
            return Err(failure::without_alpn(self.is_client()));
        }
        Ok(Peer::secured(address, local, TlsInfo::new(self.state())))
    }

    /// Whether the peer has said that it sends no more. An end of the octets without that is a truncation.
    pub(in crate::net) fn peer_has_closed(&self) -> bool {
        self.peer_closed
    }

    /// Has the peer told that nothing more comes. False if it was told already.
    pub(in crate::net) fn close(&mut self) -> bool {
        if self.close_sent {
            return false;
        }
        self.close_sent = true;
        let mut alert = [0; 64];
        let length = match &mut self.end {
            End::Client(client) => close(client.process_tls_records(&mut self.kept), &mut alert),
            End::Server(server) => close(server.process_tls_records(&mut self.kept), &mut alert),
        };
        self.pending.extend_from_slice(&alert[..length]);
        length > 0
    }

    /// Tells whoever wants to know that the handshake failed.
    pub(in crate::net) fn report_failure(&self, address: &PeerAddress, error: &io::Error) {
        if let Some(hook) = &self.on_failure {
            hook(address, error);
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.end, End::Client(_))
    }

    fn state(&self) -> &CommonState {
        match &self.end {
            End::Client(client) => client,
            End::Server(server) => server,
        }
    }

    /// Has rustls do what it can with the ciphertext. Returns how much of it need not be shown again.
    fn process(&mut self, ciphertext: &mut [u8], plain: &mut Vec<u8>) -> (usize, io::Result<()>) {
        let mut consumed = 0;
        loop {
            let (discard, step) = self.step(ciphertext.get_mut(consumed..).unwrap_or_default(), plain);
            consumed += discard;
            match step {
                Ok(Step::More) => {}
                Ok(Step::Idle) => return (consumed, Ok(())),
                Err(error) => {
                    // The alert that tells the peer comes out. With nothing left to say, one step more would look at
                    // the input again, which rustls does not bear after an error.
                    while self.state().wants_write() {
                        let _ = self.step(ciphertext.get_mut(consumed..).unwrap_or_default(), plain);
                    }
                    let stage = if self.is_established() { Stage::Open } else { Stage::Handshake };
                    return (consumed, Err(failure::describe(&error, stage, self.is_client())));
                }
            }
        }
    }

    fn step(&mut self, ciphertext: &mut [u8], plain: &mut Vec<u8>) -> (usize, Result<Step, rustls::Error>) {
        let (pending, closed) = (&mut self.pending, &mut self.peer_closed);
        match &mut self.end {
            End::Client(client) => step(client.process_tls_records(ciphertext), plain, pending, closed),
            End::Server(server) => step(server.process_tls_records(ciphertext), plain, pending, closed),
        }
    }
}

/// One step of rustls: what it decrypted goes to `plain`, what it wants to say itself to `pending`.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    pending: &mut Vec<u8>,
    peer_closed: &mut bool,
) -> (usize, Result<Step, rustls::Error>) {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut result = Ok(Step::More);
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    Err(error) => result = Err(error),
                }
            }
            result
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let start = pending.len();
            let mut size = 0;
            loop {
                pending.resize(start + size, 0);
                match data.encode(&mut pending[start..]) {
                    Err(EncodeError::InsufficientSize(needed)) if needed.required_size > size => {
                        size = needed.required_size;
                    }
                    Err(_) => {
                        pending.truncate(start);
                        break;
                    }
                    Ok(_) => break,
                }
            }
            Ok(Step::More)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // The connection writes what is pending before anything else, so it is as good as sent.
            data.done();
            Ok(Step::More)
        }
        Ok(ConnectionState::PeerClosed) => {
            *peer_closed = true;
            Ok(Step::More)
        }
        Ok(_) => Ok(Step::Idle),
        Err(error) => Err(error),
    };
    (discard, step)
}

/// Encrypts `source` into `target`; returns how much of that was filled.
fn encrypt<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    source: &[u8],
    target: &mut [u8],
) -> io::Result<usize> {
    match status.state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match traffic.encrypt(source, target) {
            Ok(filled) => Ok(filled),
            Err(EncryptError::EncryptExhausted) => {
                Err(io::Error::other("the TLS connection has sent as much as its keys may encrypt"))
            }
            Err(error) => Err(io::Error::other(error)),
        },
        _ => Err(io::Error::other("the TLS connection takes nothing to send")),
    }
}

/// Makes the close_notify alert; returns its length.
fn close<Data>(status: UnbufferedStatus<'_, '_, Data>, target: &mut [u8]) -> usize {
    match status.state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.queue_close_notify(target).unwrap_or(0),
        _ => 0,
    }
}

/// Copies up to `most` octets from the front of the output together: a record of its own for each small piece would
/// cost more than the copy.
fn gather(out: &WriteBuf, gathered: &mut Vec<u8>, most: usize) {
    gathered.clear();
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = out.chunks(&mut slices);
    for slice in &slices[..count] {
        let room = most - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(room)]);
    }
}
