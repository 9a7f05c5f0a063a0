//! The body of a fuzz target: what a DNS server may send.

use domain::base::Rtype;

use super::answer::{Answer, Arrival, MAX_ADDRESSES, Question, ipv4, ipv6, texts};
use super::txt_config::Client;

/// Whatever arrives is no answer, or is read or refused within its bounds. What a choice of service configs yields is
/// an object in JSON.
pub(crate) fn answer(data: &[u8]) {
    // The identifier and the question of half of the inputs are right, so that more than those is tried.
    for record_type in [Rtype::A, Rtype::AAAA, Rtype::TXT] {
        let Ok(question) = Question::new(0, "a.b", record_type) else { return };
        let mut whole = question.octets().to_vec();
        if let (Some(head), Some((counts, rest))) = (whole.get_mut(2..12), data.split_first_chunk::<10>()) {
            head.copy_from_slice(counts);
            (head[2], head[3]) = (0, 1);
            whole.extend_from_slice(rest);
        }
        for octets in [data, &whole] {
            if let Arrival::Answer(answer) = question.read(octets) {
                read(answer);
            }
        }
    }
    choose(&[data.to_vec()]);
    choose(&[[b"grpc_config=", data].concat()]);
}

fn read(answer: &Answer) {
    for addresses in [ipv4(answer), ipv6(answer)].into_iter().flatten() {
        assert!(addresses.len() <= MAX_ADDRESSES);
    }
    if let Ok(texts) = texts(answer) {
        choose(&texts);
    }
}

fn choose(texts: &[Vec<u8>]) {
    let client = Client { host_name: "a".to_owned(), percentile: 50 };
    if let Ok(Some(config)) = client.choose(texts) {
        assert!(config.starts_with('{') && config.ends_with('}'));
    }
}
