//! The golden files are sound Rust: every lint that users of generated code are likely to have switched on is
//! an error.

use prost::Message;
use prost_types::FileDescriptorSet;

/// As in a program that needs a part of what is generated: everything in here is unused, and nothing is
/// public.
#[deny(warnings, clippy::all, missing_docs, rust_2018_idioms)]
#[allow(unreachable_pub)]
mod private {
    include!("golden/default/all.rs");
}

/// As in a library.
#[deny(warnings, clippy::all, missing_docs, unreachable_pub, rust_2018_idioms)]
pub mod public {
    include!("golden/default/all.rs");
}

/// With options.
#[deny(warnings, clippy::all, missing_docs, unreachable_pub, rust_2018_idioms)]
pub mod options {
    include!("golden/options/all.rs");
}

#[test]
fn the_embedded_descriptors_hold_the_package_and_its_imports_in_order() {
    let set = FileDescriptorSet::decode(public::shop::v1::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let names: Vec<_> = set.file.iter().map(|file| file.name()).collect();
    assert_eq!(
        names,
        [
            "google/protobuf/empty.proto",
            "google/protobuf/timestamp.proto",
            "google/protobuf/wrappers.proto",
            "shop/money.proto",
            "shop/v1/shop.proto"
        ]
    );
    assert!(set.file.iter().all(|file| file.source_code_info.is_none()));
}

#[test]
fn the_embedded_descriptors_keep_custom_options() {
    let route = b"/archive";
    assert!(
        public::lariat::test::legacy::FILE_DESCRIPTOR_SET.windows(route.len()).any(|octets| octets == route)
    );
}

#[test]
fn messages_are_encoded_as_protobuf_says() {
    let total = public::lariat::test::kinds::Total { sheep: 300 };
    assert_eq!(total.encode_to_vec(), [0x08, 0xac, 0x02]);
}
