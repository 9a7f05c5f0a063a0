//! Header lists that arrive: requests, responses, trailers.

use super::receive::Outcome;
use super::{Connection, Role};
use crate::closed::Ending;
use crate::goaway::Shutdown;
use crate::header_assembly::HeaderAssembly;
use crate::header_decoder::Read;
use crate::state::Expected;
use crate::streams::{Stream, StreamKey};
use crate::timer::Timer;
use crate::validation::{Grammar, Message};
use crate::violation::{self, Violation};
use crate::{Event, HeadersKind};
use lariat_frame::hpack::{HeaderList, Indexing};
use lariat_frame::{ErrorCode, StreamId, WriteBuf};
use std::sync::Arc;

impl Connection {
    /// HEADERS that CONTINUATION frames must follow.
    pub(super) fn begin_header_block<'a>(
        &mut self,
        id: StreamId,
        fragment: &[u8],
        end_stream: bool,
    ) -> Outcome<'a> {
        let assembly = HeaderAssembly::new(id, fragment, end_stream);
        if assembly.block().len() > self.config.limits.header_block_octets {
            return Err(violation::HEADER_BLOCK_OCTETS);
        }
        self.assembly = Some(Box::new(assembly));
        self.set_timer(Timer::HeaderBlock, self.config.limits.header_block_timeout);
        Ok(None)
    }

    pub(super) fn handle_continuation<'a>(
        &mut self,
        id: StreamId,
        fragment: &[u8],
        end_headers: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        let Some(mut assembly) = self.assembly.take() else {
            return Err(violation::CONTINUATION_UNASKED);
        };
        if assembly.stream != id {
            return Err(violation::BLOCK_INTERRUPTED);
        }
        assembly.append(fragment, &self.config.limits)?;
        if !end_headers {
            self.assembly = Some(assembly);
            return Ok(None);
        }
        self.timers.clear(Timer::HeaderBlock);
        self.handle_header_block(id, assembly.block(), assembly.end_stream, out)
    }

    /// A header block is complete. Whatever becomes of it, it must be decoded: it may change the dynamic table.
    #[inline(always)]
    pub(super) fn handle_header_block<'a>(
        &mut self,
        id: StreamId,
        block: &[u8],
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        if block.len() > self.config.limits.header_block_octets {
            return Err(violation::HEADER_BLOCK_OCTETS);
        }
        if self.is_idle(id) {
            return match self.role {
                Role::Server if id.is_client_initiated() => self.handle_request(id, block, end_stream, out),
                Role::Server => Err(violation::EVEN_STREAM),
                Role::Client => Err(violation::HEADERS_UNASKED),
            };
        }
        if let Some((key, _)) = self.streams.find_mut(id) {
            return self.handle_later_headers(key, block, end_stream, out);
        }
        match self.closed.ending(id) {
            Ending::Skipped => Err(violation::STREAM_SKIPPED),
            Ending::Ended => Err(violation::ENDED),
            Ending::ResetRemotely => self.decoder.skip(block).and(Err(violation::AFTER_RESET)),
            Ending::ResetLocally => self.drop_headers(block),
        }
    }

    /// HEADERS that crossed what this side has sent, and that nobody reads.
    #[cold]
    fn drop_headers<'a>(&mut self, block: &[u8]) -> Outcome<'a> {
        self.decoder.skip(block)?;
        self.glitch()
    }

    /// HEADERS that open a stream.
    #[inline]
    fn handle_request<'a>(
        &mut self,
        id: StreamId,
        block: &[u8],
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        if let Shutdown::Final { .. } = self.shutdown {
            // The client sent this before it read the GOAWAY that says it won't be dealt with (RFC 9113 §6.8).
            self.closed.open(id);
            self.closed.note(id, Ending::ResetLocally);
            return self.drop_headers(block);
        }
        let Read { headers, verdict, repeated } = self.decoder.read(block, Grammar::Request)?;
        self.stats.header_blocks_recognised += u64::from(repeated);
        self.closed.open(id);
        let message = match verdict {
            Ok(message) => message,
            Err(violation::HEADER_LIST_TOO_LARGE) => return self.refuse_header_list(id, end_stream, out),
            Err(violation) => return Err(violation),
        };
        if end_stream && message.content_length.is_some_and(|length| length > 0) {
            return Err(violation::CONTENT_LENGTH_MISMATCH);
        }
        if self.config.max_concurrent_streams.is_some_and(|max| self.streams.len() >= max as usize) {
            self.stats.streams_refused += 1;
            return Err(violation::REFUSED);
        }
        let (key, stream) = self.streams.insert(id, Expected::Content);
        stream.content_left = message.content_length;
        if end_stream {
            stream.state = stream.state.end_remote();
            self.stats.streams_ended += 1;
        }
        self.stats.streams_opened += 1;
        Ok(Some(Event::Headers { stream: key, token: 0, kind: message.kind, headers, repeated, end_stream }))
    }

    /// Answers a request whose header list is too large, so that a person can see what is wrong.
    #[cold]
    fn refuse_header_list<'a>(&mut self, id: StreamId, end_stream: bool, out: &mut WriteBuf) -> Outcome<'a> {
        if !self.resets.take(self.config.limits.resets, self.now) {
            return Err(violation::RESETS);
        }
        let answer = self.config.header_list_too_large.clone().unwrap_or_else(|| {
            let mut answer = HeaderList::new();
            answer.push(b":status", b"431", Indexing::Skip);
            Arc::new(answer)
        });
        self.write_headers(id, (&answer).into(), true, out);
        if !end_stream {
            self.reply_reset(id, ErrorCode::NO_ERROR, out);
            self.closed.note(id, Ending::ResetLocally);
        }
        Ok(None)
    }

    /// HEADERS on an open stream: a response's head, or trailers.
    fn handle_later_headers<'a>(
        &mut self,
        key: StreamKey,
        block: &[u8],
        end_stream: bool,
        out: &mut WriteBuf,
    ) -> Outcome<'a> {
        let Some(stream) = self.streams.get_mut(key) else { return Ok(None) };
        let grammar = match stream.expected {
            Expected::Head => Grammar::Response,
            Expected::Content => Grammar::Trailers,
        };
        let Read { headers, verdict, repeated } = self.decoder.read(block, grammar)?;
        self.stats.header_blocks_recognised += u64::from(repeated);
        if !stream.state.can_receive() {
            return Err(violation::HALF_CLOSED);
        }
        let message = verdict?;
        check_order(stream, message, end_stream)?;
        let token = stream.token;
        if end_stream {
            stream.state = stream.state.end_remote();
            let state = stream.state;
            self.finish_remote(key, state, out);
        }
        Ok(Some(Event::Headers { stream: key, token, kind: message.kind, headers, repeated, end_stream }))
    }
}

/// Whether HEADERS may come now on an open stream; what they say of the content is noted.
fn check_order(stream: &mut Stream, message: Message, end_stream: bool) -> Result<(), Violation> {
    match message.kind {
        HeadersKind::Informational if end_stream => Err(violation::INTERIM_END),
        HeadersKind::Informational => Ok(()),
        HeadersKind::Trailers if !end_stream => Err(violation::TRAILERS_WITHOUT_END),
        HeadersKind::Trailers => match stream.content_left {
            None | Some(0) => Ok(()),
            Some(_) => Err(violation::CONTENT_LENGTH_MISMATCH),
        },
        HeadersKind::Request | HeadersKind::Response => {
            stream.expected = Expected::Content;
            if !stream.is_head_request && !message.is_bodiless {
                stream.content_left = message.content_length;
            }
            match stream.content_left {
                Some(1..) if end_stream => Err(violation::CONTENT_LENGTH_MISMATCH),
                _ => Ok(()),
            }
        }
    }
}
