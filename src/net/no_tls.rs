//! What stands for TLS in a build without it: a stream of which there can be none.

use std::io;
use std::time::Duration;

use lariat_frame::WriteBuf;

use super::peer::{Peer, PeerAddress};

pub(crate) enum TlsStream {}

impl TlsStream {
    pub(super) fn handshake_timeout(&self) -> Option<Duration> {
        match *self {}
    }

    pub(super) fn start(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn kept(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn decrypt(&mut self, _: &mut [u8], _: &mut Vec<u8>) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn encrypt(&mut self, _: &mut WriteBuf, _: &mut Vec<u8>, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(super) fn pending(&self) -> &[u8] {
        match *self {}
    }

    pub(super) fn advance(&mut self, _: usize) {
        match *self {}
    }

    pub(super) fn keep_pending(&mut self, _: &[u8]) {
        match *self {}
    }

    pub(super) fn is_established(&self) -> bool {
        match *self {}
    }

    pub(super) fn peer(&mut self, _: PeerAddress, _: Option<PeerAddress>) -> io::Result<Peer> {
        match *self {}
    }

    pub(super) fn peer_has_closed(&self) -> bool {
        match *self {}
    }

    pub(super) fn close(&mut self) -> bool {
        match *self {}
    }

    pub(super) fn report_failure(&self, _: &PeerAddress, _: &io::Error) {
        match *self {}
    }
}
