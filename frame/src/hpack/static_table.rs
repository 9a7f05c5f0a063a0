//! The static table (RFC 7541 §2.3.1 and appendix A).

use super::pair::Pair;

/// How many entries there are; indexes of the dynamic table follow.
pub(super) const LEN: usize = ENTRIES.len();

macro_rules! entries {
    ($($name:literal : $value:literal)*) => {
        [$(Pair { octets: concat!($name, $value).as_bytes(), name_len: $name.len() }),*]
    };
}

/// The entries; the first has index 1.
static ENTRIES: [Pair<'static>; 61] = entries! {
    ":authority": ""
    ":method": "GET"
    ":method": "POST"
    ":path": "/"
    ":path": "/index.html"
    ":scheme": "http"
    ":scheme": "https"
    ":status": "200"
    ":status": "204"
    ":status": "206"
    ":status": "304"
    ":status": "400"
    ":status": "404"
    ":status": "500"
    "accept-charset": ""
    "accept-encoding": "gzip, deflate"
    "accept-language": ""
    "accept-ranges": ""
    "accept": ""
    "access-control-allow-origin": ""
    "age": ""
    "allow": ""
    "authorization": ""
    "cache-control": ""
    "content-disposition": ""
    "content-encoding": ""
    "content-language": ""
    "content-length": ""
    "content-location": ""
    "content-range": ""
    "content-type": ""
    "cookie": ""
    "date": ""
    "etag": ""
    "expect": ""
    "expires": ""
    "from": ""
    "host": ""
    "if-match": ""
    "if-modified-since": ""
    "if-none-match": ""
    "if-range": ""
    "if-unmodified-since": ""
    "last-modified": ""
    "link": ""
    "location": ""
    "max-forwards": ""
    "proxy-authenticate": ""
    "proxy-authorization": ""
    "range": ""
    "referer": ""
    "refresh": ""
    "retry-after": ""
    "server": ""
    "set-cookie": ""
    "strict-transport-security": ""
    "transfer-encoding": ""
    "user-agent": ""
    "vary": ""
    "via": ""
    "www-authenticate": ""
};

/// The entries of one name, which are neighbours: the index of the first, and how many there are.
#[derive(Clone, Copy)]
struct Run {
    first: u8,
    len: u8,
}

/// The entries of each name, at the place that [`slot`] gives the name.
static RUNS: [Run; SLOTS] = runs();

const SLOTS: usize = 256;

/// What [`find`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// The index of an entry with this name and value.
    Field(usize),
    /// The index of an entry with this name.
    Name(usize),
    Nothing,
}

/// The entry of that index, counted from 1.
#[inline]
pub(super) fn get(index: usize) -> Option<Pair<'static>> {
    ENTRIES.get(index.wrapping_sub(1)).copied()
}

/// Looks for a field. One look into a perfect hash table and one comparison for the name, then the values of
/// that name.
#[inline]
pub(super) fn find(name: &[u8], value: &[u8]) -> Match {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return Match::Nothing;
    };
    let run = RUNS[slot(name.len(), first, last)];
    let index = usize::from(run.first);
    if get(index).is_none_or(|entry| entry.name() != name) {
        return Match::Nothing;
    }
    for candidate in index..index + usize::from(run.len) {
        if get(candidate).is_some_and(|entry| entry.value() == value) {
            return Match::Field(candidate);
        }
    }
    Match::Name(index)
}

/// A place for a name. The factors were searched for: no two names of the table share a place, which [`runs`]
/// checks.
#[inline]
const fn slot(len: usize, first: u8, last: u8) -> usize {
    (len * 9 + first as usize * 21 + last as usize) % SLOTS
}

const fn runs() -> [Run; SLOTS] {
    let mut runs = [Run { first: 0, len: 0 }; SLOTS];
    let mut index = 1;
    while index <= ENTRIES.len() {
        let Pair { octets, name_len } = ENTRIES[index - 1];
        let run = &mut runs[slot(name_len, octets[0], octets[name_len - 1])];
        if run.len == 0 {
            run.first = index as u8;
        }
        assert!(run.first as usize + run.len as usize == index, "two names share a place");
        run.len += 1;
        index += 1;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_by_its_field() {
        for index in 1..=LEN {
            let entry = get(index).unwrap();
            assert_eq!(find(entry.name(), entry.value()), Match::Field(index));
        }
    }

    #[test]
    fn another_value_finds_the_first_entry_of_the_name() {
        for index in 1..=LEN {
            let entry = get(index).unwrap();
            let first = (1..=LEN).find(|&i| get(i).unwrap().name() == entry.name()).unwrap();
            assert_eq!(find(entry.name(), b"another value"), Match::Name(first));
        }
    }

    #[test]
    fn names_that_share_a_place_with_an_entry_are_not_mistaken_for_it() {
        for name in [&b""[..], b":", b":methoq", b"te", b"agg", b"grpc-timeout", b"content-tyte"] {
            assert_eq!(find(name, b""), Match::Nothing);
        }
    }

    #[test]
    fn index_0_and_those_beyond_the_end_hold_nothing() {
        assert!(get(0).is_none());
        assert!(get(LEN + 1).is_none());
        assert!(get(usize::MAX).is_none());
        assert_eq!(get(2).map(|entry| (entry.name(), entry.value())), Some((&b":method"[..], &b"GET"[..])));
        assert_eq!(get(61).map(|entry| entry.name()), Some(&b"www-authenticate"[..]));
    }
}
