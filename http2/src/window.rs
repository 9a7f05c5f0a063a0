//! [`Window`]: flow-control credit (RFC 9113 §5.2, §6.9). The only place where credit is added or taken.
//!
//! Credit is kept relative to a base, the initial window size: a stream's window is `base + credit`. When a SETTINGS
//! frame changes the initial window size, the windows of all streams change with it at once, and may become negative
//! (§6.9.2), without one of them being touched.

/// The largest window there is (RFC 9113 §6.9.1).
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;

/// The window of the connection, and of streams before SETTINGS say otherwise (RFC 9113 §6.9.2).
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

/// The credit of one direction of a stream or of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    credit: i64,
}

impl Window {
    /// Octets that may be sent now; negative after the base has shrunk.
    #[inline]
    pub(crate) fn available(self, base: u32) -> i64 {
        i64::from(base) + self.credit
    }

    /// Takes the credit for `octets` that are sent or received; `false`, and nothing is taken, if there isn't as much.
    #[inline]
    pub(crate) fn take(&mut self, base: u32, octets: usize) -> bool {
        let octets = octets as i64;
        let enough = octets <= self.available(base).max(0);
        if enough {
            self.credit -= octets;
        }
        enough
    }

    /// Adds credit; `false`, and nothing is added, if the window would pass its maximum.
    #[inline]
    pub(crate) fn give(&mut self, base: u32, increment: u32) -> bool {
        let fits = !self.overflows(base, increment);
        if fits {
            self.credit += i64::from(increment);
        }
        fits
    }

    /// Whether `increment` more would pass the maximum.
    #[inline]
    pub(crate) fn overflows(self, base: u32, increment: u32) -> bool {
        self.available(base) + i64::from(increment) > i64::from(MAX_WINDOW)
    }

    /// The credit relative to the base.
    #[inline]
    pub(crate) fn credit(self) -> i64 {
        self.credit
    }
}

/// What the peer may send, and what of it has to be told to the peer.
///
/// Credit that comes back is collected until it makes up a quarter of the window, so that WINDOW_UPDATE frames stay
/// rare.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceiveWindow {
    window: Window,
    /// Octets consumed whose credit the peer hasn't got back yet.
    unannounced: u32,
    /// Octets of credit given ahead of consumption; those consumed next make up for them.
    advanced: u32,
}

impl ReceiveWindow {
    /// The most octets that credit is given ahead for: a raise of the base must still fit.
    const MAX_EXPECTED: i64 = 1 << 30;

    /// Octets that the peer may send now.
    pub(crate) fn available(self, base: u32) -> i64 {
        self.window.available(base)
    }

    /// Counts `octets` that arrived; `false` if the peer had no credit for them.
    #[inline]
    pub(crate) fn receive(&mut self, base: u32, octets: usize) -> bool {
        self.window.take(base, octets)
    }

    /// Counts `octets` that arrived and are consumed at once; `None` if the peer had no credit for them, otherwise the
    /// increment to announce, 0 unless it is time.
    #[inline]
    pub(crate) fn pass(&mut self, base: u32, octets: usize) -> Option<u32> {
        if !self.window.take(base, octets) {
            return None;
        }
        // No more than the window, so that it fits.
        self.unannounced = self.unannounced.saturating_add(octets as u32);
        if self.unannounced < base / 4 { Some(0) } else { Some(self.announce(base).unwrap_or(0)) }
    }

    /// Octets received and not consumed yet.
    fn unconsumed(self) -> u32 {
        // What was received and not yet returned is missing from the credit; what was given ahead stands against it.
        u32::try_from(i64::from(self.advanced) - i64::from(self.unannounced) - self.window.credit())
            .unwrap_or(0)
    }

    /// Counts `octets`, at most those received, as consumed; the increment to announce, if it is time. `size` is what
    /// the base is or is about to become: a quarter of it is announced at the latest.
    #[inline]
    pub(crate) fn consume(&mut self, base: u32, size: u32, octets: usize) -> Option<u32> {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX).min(self.unconsumed());
        let repaid = octets.min(self.advanced);
        self.advanced -= repaid;
        self.unannounced = self.unannounced.saturating_add(octets - repaid);
        if self.unannounced >= (size / 4).max(1) { self.announce(base) } else { None }
    }

    /// The increment that returns everything consumed so far, if there is any.
    pub(crate) fn announce(&mut self, base: u32) -> Option<u32> {
        let increment = self.unannounced;
        let announced = increment > 0 && self.window.give(base, increment);
        announced.then(|| std::mem::take(&mut self.unannounced))
    }

    /// Makes sure that the peer may send `octets` more; the increment to announce, if it needs one.
    ///
    /// Credit beyond what was consumed is given ahead, so that the window is as large as before once the octets have
    /// been consumed.
    pub(crate) fn expect(&mut self, base: u32, octets: usize) -> Option<u32> {
        let octets = i64::try_from(octets).unwrap_or(i64::MAX).min(Self::MAX_EXPECTED);
        let missing =
            u32::try_from(octets - self.window.available(base)).ok().filter(|&missing| missing > 0)?;
        if !self.window.give(base, missing) {
            return None;
        }
        let consumed = missing.min(self.unannounced);
        self.unannounced -= consumed;
        self.advanced = self.advanced.saturating_add(missing - consumed);
        Some(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_goes_negative_with_its_base_and_comes_back() {
        let mut window = Window::default();
        assert!(window.take(100, 80));
        assert_eq!(window.available(50), -30);
        assert!(!window.take(50, 1) && window.take(50, 0));
        assert!(window.give(50, 31));
        assert_eq!(window.available(50), 1);
    }

    #[test]
    fn a_window_never_passes_its_maximum() {
        let mut window = Window::default();
        assert!(!window.give(DEFAULT_WINDOW, MAX_WINDOW));
        assert!(window.give(DEFAULT_WINDOW, MAX_WINDOW - DEFAULT_WINDOW));
        assert!(!window.give(DEFAULT_WINDOW, 1));
        assert!(window.overflows(DEFAULT_WINDOW + 1, 0));
    }

    #[test]
    fn credit_is_announced_once_a_quarter_is_consumed() {
        let mut window = ReceiveWindow::default();
        assert!(window.receive(100, 100) && !window.receive(100, 1));
        assert_eq!(window.consume(100, 100, 24), None);
        assert_eq!(window.consume(100, 100, 1), Some(25));
        assert_eq!(window.available(100), 25);
    }

    #[test]
    fn what_passes_is_announced_by_quarters() {
        let mut window = ReceiveWindow::default();
        assert_eq!(window.pass(100, 24), Some(0));
        assert_eq!(window.pass(100, 76), Some(100));
        assert_eq!(window.available(100), 100);
        assert_eq!(window.pass(100, 101), None);
    }

    #[test]
    fn no_more_can_be_consumed_than_was_received() {
        let mut window = ReceiveWindow::default();
        assert!(window.receive(100, 60));
        assert_eq!(window.consume(100, 100, 1000), Some(60));
        assert_eq!(window.consume(100, 100, 1000), None);
        assert_eq!(window.available(100), 100);
    }

    #[test]
    fn credit_is_not_held_back_for_a_base_that_is_about_to_shrink() {
        let mut window = ReceiveWindow::default();
        assert!(window.receive(1000, 30));
        assert_eq!(window.consume(1000, 100, 30), Some(30));
    }

    #[test]
    fn credit_given_ahead_is_made_up_for_by_what_is_consumed_next() {
        let mut window = ReceiveWindow::default();
        assert_eq!(window.expect(100, 100), None);
        assert_eq!(window.expect(100, 150), Some(50));
        assert!(window.receive(100, 150));
        assert_eq!(window.consume(100, 100, 50), None);
        assert_eq!(window.consume(100, 100, 100), Some(100));
        assert_eq!(window.available(100), 100);
    }

    #[test]
    fn what_was_consumed_is_announced_first_when_more_is_expected() {
        let mut window = ReceiveWindow::default();
        assert!(window.receive(100, 20));
        assert_eq!(window.consume(100, 100, 20), None);
        assert_eq!(window.expect(100, 110), Some(30));
        assert!(window.receive(100, 110));
        assert_eq!(window.consume(100, 100, 110), Some(100));
        assert_eq!(window.available(100), 100);
    }
}
