//! What a DNS server answered: read from the octets, with no more believed than what was asked (RFC 1035).

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::message_builder::MessageBuilder;
use domain::base::rdata::ParseRecordData;
use domain::base::wire::ParseError;
use domain::base::{Message, Name, ParsedName, Rtype};
use domain::dep::octseq::Array;
use domain::rdata::{A, Aaaa, Txt};

/// As many addresses of a name are used in each family; of a longer answer the rest is left out. A channel may connect
/// to all of them.
pub(super) const MAX_ADDRESSES: usize = 1_000;

/// A question of one record type for one name. As octets it is no longer than a datagram of DNS may be.
pub(super) struct Question {
    octets: Array<512>,
}

/// What arrived in answer to a question.
pub(super) enum Arrival<'a> {
    /// It is no answer to this question.
    Stray,
    /// It did not fit into a datagram.
    Truncated,
    Answer(&'a Answer),
}

/// An answer to the question that was asked, whatever it says.
pub(super) type Answer = Message<[u8]>;

impl Question {
    /// The error is the reason why the name cannot be asked for.
    pub(super) fn new(id: u16, name: &str, record_type: Rtype) -> Result<Self, String> {
        let name: Name<Array<255>> =
            name.parse().map_err(|error| format!("it is no name of DNS: {error}"))?;
        let too_long = |_| "the question does not fit into a datagram".to_owned();
        let mut message = MessageBuilder::from_target(Array::new()).map_err(|error| error.to_string())?;
        message.header_mut().set_id(id);
        message.header_mut().set_opcode(Opcode::QUERY);
        message.header_mut().set_rd(true);
        let mut questions = message.question();
        questions.push((&name, record_type, Class::IN)).map_err(too_long)?;
        Ok(Question { octets: questions.finish() })
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.octets.as_ref()
    }

    /// What these octets are with regard to this question: an answer has its identifier, and repeats it.
    pub(super) fn read<'a>(&self, octets: &'a [u8]) -> Arrival<'a> {
        let (Ok(message), Ok(question)) = (Message::from_slice(octets), Message::from_slice(self.octets()))
        else {
            return Arrival::Stray;
        };
        match message.is_answer(question) {
            false => Arrival::Stray,
            true if message.header().tc() => Arrival::Truncated,
            true => Arrival::Answer(message),
        }
    }
}

/// The IPv4 addresses of the name, or of the one that it is an alias of. The error says what the server said.
pub(super) fn ipv4(answer: &Answer) -> Result<Vec<IpAddr>, String> {
    addresses(answer, |record: &A| record.addr().into())
}

/// The IPv6 addresses, likewise.
pub(super) fn ipv6(answer: &Answer) -> Result<Vec<IpAddr>, String> {
    addresses(answer, |record: &Aaaa| record.addr().into())
}

fn addresses<'s, Data>(answer: &'s Answer, address: impl Fn(&Data) -> IpAddr) -> Result<Vec<IpAddr>, String>
where
    Data: ParseRecordData<'s, [u8]>,
{
    let name = canonical_name(answer)?;
    let mut found = Vec::new();
    for record in answer.answer().map_err(malformed)?.limit_to_in::<Data>() {
        let record = record.map_err(malformed)?;
        if *record.owner() == name && found.len() < MAX_ADDRESSES {
            found.push(address(record.data()));
        }
    }
    Ok(found)
}

/// The texts of the name. The strings of which a record consists are one text.
pub(super) fn texts(answer: &Answer) -> Result<Vec<Vec<u8>>, String> {
    let name = match canonical_name(answer) {
        Ok(name) => name,
        // That there is no service config is an answer.
        Err(_) if answer.header().rcode() == Rcode::NXDOMAIN => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let mut found = Vec::new();
    for record in answer.answer().map_err(malformed)?.limit_to_in::<Txt<_>>() {
        let record = record.map_err(malformed)?;
        if *record.owner() == name {
            found.push(record.data().iter().flatten().copied().collect());
        }
    }
    Ok(found)
}

/// The name that the question's is an alias of, or itself.
fn canonical_name(answer: &Answer) -> Result<ParsedName<&[u8]>, String> {
    match answer.header().rcode() {
        Rcode::NOERROR => {
            answer.canonical_name().ok_or_else(|| "the chain of its aliases is too long".to_owned())
        }
        Rcode::NXDOMAIN => Err("there is no such name (NXDOMAIN)".to_owned()),
        other => Err(format!("the server answered {other}")),
    }
}

fn malformed(error: ParseError) -> String {
    format!("the answer is malformed: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 0x1234;

    /// The answer to the question for `a.b`, with these flags, and records of which each begins with its owner.
    fn message(record_type: u16, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let mut octets = ID.to_be_bytes().to_vec();
        octets.extend(flags.to_be_bytes());
        octets.extend([0, 1]);
        octets.extend((records.len() as u16).to_be_bytes());
        octets.extend([0, 0, 0, 0, 1, b'a', 1, b'b', 0]);
        octets.extend(record_type.to_be_bytes());
        octets.extend([0, 1]);
        octets.extend(records.iter().flatten());
        octets
    }

    fn record(owner: &[u8], record_type: u16, data: &[u8]) -> Vec<u8> {
        let mut octets = owner.to_vec();
        octets.extend(record_type.to_be_bytes());
        octets.extend([0, 1, 0, 0, 0, 60]);
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
        octets
    }

    /// Points to the name of the question.
    const A_B: &[u8] = &[0xc0, 12];
    const RESPONSE: u16 = 0x8180;

    fn answer<T>(octets: &[u8], record_type: Rtype, read: impl Fn(&Answer) -> T) -> T {
        match Question::new(ID, "a.b", record_type).unwrap().read(octets) {
            Arrival::Answer(answer) => read(answer),
            _ => panic!("no answer"),
        }
    }

    #[test]
    fn a_question_is_what_rfc_1035_says() {
        let question = Question::new(ID, "a.b", Rtype::AAAA).unwrap();
        assert_eq!(
            question.octets(),
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x01b\x00\x00\x1c\x00\x01"
        );
        assert!(Question::new(ID, &"a".repeat(64), Rtype::A).is_err());
        assert!(Question::new(ID, &"a.".repeat(200), Rtype::A).is_err());
    }

    #[test]
    fn addresses_are_those_of_the_name_or_of_what_it_is_an_alias_of() {
        let c = &[1, b'c', 0][..];
        let records = [
            record(A_B, 5, c),
            record(c, 1, &[10, 0, 0, 1]),
            record(&[1, b'x', 0], 1, &[10, 0, 0, 2]),
            record(c, 28, &[0; 16]),
            record(c, 1, &[10, 0, 0, 3]),
        ];
        let octets = message(1, RESPONSE, &records);
        let expected: Vec<IpAddr> = vec![[10, 0, 0, 1].into(), [10, 0, 0, 3].into()];
        assert_eq!(answer(&octets, Rtype::A, ipv4), Ok(expected));
    }

    #[test]
    fn no_more_addresses_of_a_name_are_used_than_the_limit() {
        let records: Vec<Vec<u8>> =
            (0..1_500u16).map(|n| record(A_B, 1, &[10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]])).collect();
        let octets = message(1, RESPONSE, &records);
        assert_eq!(answer(&octets, Rtype::A, ipv4).unwrap().len(), MAX_ADDRESSES);
    }

    #[test]
    fn texts_consist_of_strings_and_none_is_an_answer() {
        let records = [record(A_B, 16, b"\x02ab\x00\x01c"), record(A_B, 16, b"\x01d")];
        let octets = message(16, RESPONSE, &records);
        assert_eq!(answer(&octets, Rtype::TXT, texts), Ok(vec![b"abc".to_vec(), b"d".to_vec()]));
        let unknown = message(16, RESPONSE | 3, &[]);
        assert_eq!(answer(&unknown, Rtype::TXT, texts), Ok(Vec::new()));
        let failed = message(16, RESPONSE | 2, &[]);
        assert_eq!(answer(&failed, Rtype::TXT, texts), Err("the server answered SERVFAIL".to_owned()));
    }

    #[test]
    fn what_is_not_asked_for_is_no_answer() {
        let question = Question::new(ID, "a.b", Rtype::A).unwrap();
        let right = message(1, RESPONSE, &[]);
        let is_stray = |octets: &[u8]| matches!(question.read(octets), Arrival::Stray);
        assert!(!is_stray(&right));
        let mut other_id = right.clone();
        other_id[0] ^= 1;
        let mut other_name = right.clone();
        other_name[13] = b'x';
        for octets in [&other_id, &other_name, &message(28, RESPONSE, &[]), &message(1, 0x0100, &[])] {
            assert!(is_stray(octets), "{octets:?}");
        }
        (0..right.len()).for_each(|end| assert!(is_stray(&right[..end]), "{end}"));
        assert!(matches!(question.read(&message(1, RESPONSE | 0x0200, &[])), Arrival::Truncated));
    }

    #[test]
    fn answers_that_make_no_sense_are_refused() {
        let short = message(1, RESPONSE, &[record(A_B, 1, &[10, 0, 0])]);
        let cut = message(1, RESPONSE, &[record(A_B, 1, &[10, 0, 0, 1])[..9].to_vec()]);
        let itself = message(1, RESPONSE, &[record(A_B, 5, A_B)]);
        for (octets, part) in [(short, "malformed"), (cut, "malformed"), (itself, "too long")] {
            let error = answer(&octets, Rtype::A, ipv4).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
