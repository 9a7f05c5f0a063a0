//! Local credentials.

use lariat::Channel;
use lariat::credentials::{ChannelCredentials, ServerCredentials};

use super::who::{am, failure, serve_with};

#[test]
fn a_unix_socket_is_private_and_a_loopback_address_is_not() {
    let path = std::env::temp_dir().join(format!("lariat-local-{}", std::process::id()));
    let unix = format!("unix:{}", path.display());
    for (address, level) in [
        (unix.as_str(), "level: privacy and integrity"),
        ("unix-abstract:lariat-local-test", "level: privacy and integrity"),
        ("127.0.0.1:0", "level: no security"),
    ] {
        let server = serve_with(ServerCredentials::local(), address);
        let builder = Channel::builder(server.local_address().to_string());
        let channel = builder.credentials(ChannelCredentials::local()).build().unwrap();
        assert_eq!(am(&channel).unwrap(), level);
    }
}

#[test]
fn local_credentials_do_not_connect_to_other_machines() {
    // An address for documentation; nothing is sent to it.
    let builder = Channel::builder("192.0.2.1:50051").credentials(ChannelCredentials::local());
    let text = failure(&builder.build().unwrap());
    assert!(text.contains("192.0.2.1:50051 is neither"), "{text}");
}
