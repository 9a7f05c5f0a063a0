//! The bodies of the fuzz targets: on the corpora, and on octets made up from a seed.

use lariat_http2::{Role, fuzz};
use std::path::Path;

fn replay(target: &str, role: Role) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let Ok(files) = std::fs::read_dir(&corpus) else {
        // A packaged crate comes without the corpora.
        println!("skipped: no corpus at {}", corpus.display());
        return;
    };
    for file in files {
        let path = file.expect("the corpus can be listed").path();
        let data = std::fs::read(&path).expect("the corpus can be read");
        println!("{}", path.display());
        fuzz::connection(role, &data);
    }
}

#[test]
fn the_corpus_of_the_server_does_no_harm() {
    replay("connection_server", Role::Server);
}

#[test]
fn the_corpus_of_the_client_does_no_harm() {
    replay("connection_client", Role::Client);
}

/// Octets that are the same in every run: xorshift64*.
struct Octets(u64);

impl Octets {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    }
}

#[test]
fn no_made_up_script_does_harm() {
    for seed in 1..=2_000 {
        let mut octets = Octets(seed);
        let len = 50 + usize::from(octets.next()) * 4;
        let mut script: Vec<u8> = (0..len).map(|_| octets.next()).collect();
        // Most scripts begin after the exchange of SETTINGS, and have more frames and commands than loose octets.
        script[0] &= 0x7f;
        for octet in &mut script[1..] {
            if *octet < 96 && !octets.next().is_multiple_of(8) {
                *octet %= 16;
            }
        }
        fuzz::connection(Role::Server, &script);
        fuzz::connection(Role::Client, &script);
    }
}
