//! `grpc-retry-pushback-ms`: what a server says about the next attempt.

use std::time::Duration;

use crate::rpc::Metadata;

/// The key of the trailer.
const KEY: &str = "grpc-retry-pushback-ms";

/// A server's word about further attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    /// It said nothing.
    None,
    /// Not before this time is over.
    After(Duration),
    /// Not at all.
    Never,
}

impl Pushback {
    /// Reads the trailers of a failed attempt. A value that is negative, no number or there twice means never.
    pub(crate) fn of(trailers: &Metadata) -> Self {
        let mut values = trailers.get_all(KEY);
        match (values.next(), values.next()) {
            (None, _) => Pushback::None,
            (Some(value), None) => value
                .parse::<i32>()
                .ok()
                .and_then(|millis| u64::try_from(millis).ok())
                .map_or(Pushback::Never, |millis| Pushback::After(Duration::from_millis(millis))),
            (Some(_), Some(_)) => Pushback::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_wait_and_anything_else_means_never() {
        let of = |values: &[&str]| {
            let mut trailers = Metadata::new();
            values.iter().for_each(|value| trailers.append(KEY, value).unwrap());
            Pushback::of(&trailers)
        };
        assert_eq!(of(&[]), Pushback::None);
        assert_eq!(of(&["0"]), Pushback::After(Duration::ZERO));
        assert_eq!(of(&["1500"]), Pushback::After(Duration::from_millis(1500)));
        for never in [&["-1"][..], &["soon"], &["1.5"], &["99999999999"], &["1", "1"]] {
            assert_eq!(of(never), Pushback::Never, "{never:?}");
        }
    }
}
