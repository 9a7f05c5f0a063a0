//! Writes what a handler returned: head, message and trailers, straight into the connection's output.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use lariat_frame::hpack::HeaderList;
use lariat_frame::{ErrorCode, WriteBuf};
use lariat_http2::{Connection, HeaderBlock, SendError, StreamKey};

use super::invocation::CallCompression;
use super::shared::Shared;
use super::watch::Watched;
use crate::call::stats::MessageSize;
use crate::call::{Chosen, EncodingId, Response};
use crate::rpc::{
    Codec, Metadata, PREFIX_LEN, Status, check_send_len, frame_message, message_prefix, response_head,
    trailers,
};

/// Messages from this size on get a buffer of their own and are chained to the output, not copied.
const OWN_BUFFER: usize = 8 * 1024;

/// The flag of a message that its codec could not encode, or not in as many octets as it had said. The frame around the
/// message is written by then and has to be filled; with this flag every client ends the call with INTERNAL.
const BROKEN: u8 = 0xff;

/// Where a handler's outcome goes.
pub(super) struct Responder<'a> {
    pub(super) http2: &'a mut Connection,
    pub(super) out: &'a mut WriteBuf,
    pub(super) shared: &'a Shared,
    pub(super) key: StreamKey,
    pub(super) route: u32,
    pub(super) compression: CallCompression,
    /// How a streaming response ended; its trailers follow when its messages are sent.
    pub(super) ended: Option<Result<(), Status>>,
    /// Who wants to know what is sent, until the end.
    pub(super) watched: &'a mut Option<Box<Watched>>,
}

impl<'a> Responder<'a> {
    /// The head of a response without metadata.
    fn head(&self) -> &'a Arc<HeaderList> {
        &self.shared.router.route(self.route).head
    }

    /// Writes a whole response, or the status of a call that has none.
    pub(super) fn respond<C: Codec<T>, T>(&mut self, mut result: Result<Response<T>, Status>) {
        let response = match &mut result {
            Ok(response) => response,
            Err(status) => return self.fail(status),
        };
        let choice = response.take_compression();
        if self.compression.response.is_some() || choice.is_some() {
            let choice = choice.unwrap_or_default();
            match self.choose(choice.algorithm.as_deref()) {
                Ok(Some(id)) => return self.respond_encoded::<C, T>(response, id, !choice.leaves_message),
                Ok(None) => {}
                Err(status) => return self.fail(&status),
            }
        }
        let (message, metadata, trailers) = (response.message(), response.metadata(), response.trailers());
        let size = C::encoded_len(message);
        let length = match check_send_len(size, self.shared.options.max_send_message_size) {
            Ok(length) => length,
            Err(status) => return self.fail(&status),
        };
        let framed = size + PREFIX_LEN;
        let mut append = |out: &mut Vec<u8>| {
            let (start, end) = (out.len(), out.len() + framed);
            out.extend_from_slice(&message_prefix(length));
            let encoded = catch_unwind(AssertUnwindSafe(|| C::encode(message, out)));
            if encoded.is_err() || out.len() != end {
                out.resize(end, 0);
                out[start] = BROKEN;
            }
        };
        let is_small = framed < OWN_BUFFER;
        if is_small && metadata.is_empty() && trailers.is_empty() {
            // What most responses are: three frames in one go.
            let response =
                lariat_http2::Response { head: self.head(), len: framed, trailers: &self.shared.ok };
            if self.http2.send_response_in_place(self.key, response, self.out, &mut append) {
                if self.watched.is_some() {
                    self.tell_response(size);
                }
                return;
            }
        }
        if !self.send_head(metadata, None) {
            return;
        }
        let in_place =
            is_small && self.http2.send_data_in_place(self.key, framed, false, self.out, &mut append);
        if !in_place {
            let mut buffer = Vec::with_capacity(framed);
            append(&mut buffer);
            // An error means that the stream is gone, of which the session has an event.
            let _ = self.http2.send_data(self.key, buffer.into(), false, self.out);
        }
        self.tell_message(MessageSize::plain(size));
        self.send_trailers(Ok(trailers));
    }

    /// What compresses a response for which the handler has said this.
    fn choose(&self, algorithm: Option<&str>) -> Result<Chosen, Status> {
        let Some(name) = algorithm else { return Ok(self.compression.response) };
        let chosen = self.shared.encodings.choose_or_fail(name)?;
        Ok(chosen.filter(|id| self.compression.accepted.contains(*id)))
    }

    /// Writes a whole response whose head names an encoding.
    #[cold]
    fn respond_encoded<C: Codec<T>, T>(&mut self, response: &Response<T>, id: EncodingId, compress: bool) {
        let (message, metadata, trailers) = (response.message(), response.metadata(), response.trailers());
        let limit = self.shared.options.max_send_message_size;
        let mut size = 0;
        let framed = catch_unwind(AssertUnwindSafe(|| {
            let mut octets = Vec::new();
            size = C::encoded_len(message);
            if !compress || size == 0 {
                return frame_message::<C, T>(message, limit, &mut octets).map(|()| octets);
            }
            C::encode(message, &mut octets);
            self.shared.encodings.frame(id, &octets, limit)
        }));
        let panicked = |_| Err(Status::internal("the codec panicked while it encoded a message"));
        match framed.unwrap_or_else(panicked) {
            Ok(framed) => {
                if self.send_head(metadata, Some(id)) {
                    let size = MessageSize::new(Some(size), framed.len().saturating_sub(PREFIX_LEN));
                    // An error means that the stream is gone, of which the session has an event.
                    let _ = self.http2.send_data(self.key, framed.into(), false, self.out);
                    self.tell_message(size);
                    self.send_trailers(Ok(trailers));
                }
            }
            Err(status) => self.fail(&status),
        }
    }

    /// Takes the end of a streaming response.
    pub(super) fn end(&mut self, result: Result<(), Status>) {
        self.ended = Some(result);
    }

    /// Ends a call of which nothing was sent yet.
    pub(super) fn fail(&mut self, status: &Status) {
        let mut fields = HeaderList::new();
        trailers::write(status, &mut fields);
        let block = HeaderBlock { template: Some(self.head()), fields: Some(&fields) };
        if self.send_block(block, true, Some(self.head())) {
            self.tell_end(Err(status));
        }
    }

    /// Writes the response's head. False if it is too large for the client: that was told, and the call is over.
    pub(super) fn send_head(&mut self, metadata: &Metadata, encoding: Chosen) -> bool {
        let sent = if metadata.is_empty() && encoding.is_none() {
            self.send_block(HeaderBlock::from(self.head()), false, Some(self.head()))
        } else {
            let mut fields = HeaderList::new();
            if let Some(id) = encoding {
                response_head::push_encoding(self.shared.encodings.name(id), &mut fields);
            }
            metadata.write_to(&mut fields);
            let block = HeaderBlock { template: Some(self.head()), fields: Some(&fields) };
            self.send_block(block, false, Some(self.head()))
        };
        if sent && let Some(watched) = self.watched {
            watched.tell_head_sent(metadata, encoding.map(|id| self.shared.encodings.name(id)));
        }
        sent
    }

    /// Writes the trailers, behind everything sent before.
    pub(super) fn send_trailers(&mut self, result: Result<&Metadata, &Status>) {
        let sent = match result {
            Ok(metadata) if metadata.is_empty() => {
                self.send_block(HeaderBlock::from(&self.shared.ok), true, None)
            }
            Ok(metadata) => {
                let mut fields = HeaderList::new();
                metadata.write_to(&mut fields);
                self.send_block(
                    HeaderBlock { template: Some(&self.shared.ok), fields: Some(&fields) },
                    true,
                    None,
                )
            }
            Err(status) => {
                let mut fields = HeaderList::new();
                trailers::write(status, &mut fields);
                self.send_block(HeaderBlock::from(&fields), true, None)
            }
        };
        if sent {
            self.tell_end(result);
        }
    }

    /// A whole response of this size is sent, without metadata.
    #[cold]
    fn tell_response(&mut self, size: usize) {
        if let Some(watched) = self.watched {
            watched.tell_head_sent(&Metadata::new(), None);
        }
        self.tell_message(MessageSize::plain(size));
        self.tell_end(Ok(&Metadata::new()));
    }

    fn tell_message(&mut self, size: MessageSize) {
        if let Some(watched) = self.watched {
            watched.tell_message_sent(size);
        }
    }

    fn tell_end(&mut self, result: Result<&Metadata, &Status>) {
        if let Some(watched) = self.watched.take() {
            watched.tell_trailers_sent(result);
        }
    }

    /// Writes a header block; `head` begins what takes its place if it is too large, unless a head was sent before.
    fn send_block(
        &mut self,
        block: HeaderBlock<'_>,
        end_stream: bool,
        head: Option<&Arc<HeaderList>>,
    ) -> bool {
        // Any other error means that the stream is gone, of which the session has an event.
        if let Err(SendError::HeaderListTooLarge { size, limit }) =
            self.http2.send_headers(self.key, block, end_stream, self.out)
        {
            self.fail_for_size(size, limit, head);
            return false;
        }
        true
    }

    /// The peer must learn that the call failed, and why as far as its limit allows.
    fn fail_for_size(&mut self, size: usize, limit: usize, head: Option<&Arc<HeaderList>>) {
        let status = Status::internal(format!(
            "header list size to send violates the maximum size ({limit} octets) set by client: {size}"
        ));
        let mut fields = HeaderList::new();
        trailers::write(&status, &mut fields);
        self.tell_end(Err(&status));
        let block = HeaderBlock { template: head, fields: Some(&fields) };
        if self.http2.send_headers(self.key, block, true, self.out).is_err() {
            self.http2.reset(self.key, ErrorCode::INTERNAL_ERROR, self.out);
        }
    }
}
