//! What is generated is what is expected: the files in `golden` are made from those in `protos`.
//!
//! After a wanted change, `LARIAT_UPDATE_GOLDEN=1 cargo test -p lariat-codegen --test golden` writes the
//! golden files anew.

use std::fs;
use std::path::{Path, PathBuf};

use lariat_codegen::Builder;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// An empty directory of this test.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(&path).expect("a scratch directory");
    path
}

/// Files of a directory by name.
fn read(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| {
            let entry = entry.expect("a directory entry");
            let content = fs::read_to_string(entry.path()).expect("a text file");
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect();
    files.sort();
    files
}

/// Generates code and compares it with the golden files of that name.
fn check(name: &str, options: impl FnOnce(Builder) -> Builder, protos: &[&str]) {
    let out = scratch(name);
    let protos: Vec<PathBuf> = protos.iter().map(|proto| root().join("protos").join(proto)).collect();
    let builder =
        lariat_codegen::configure().include_file("all.rs").emit_rerun_if_changed(false).out_dir(&out);
    options(builder).compile(&protos, &[root().join("protos")]).expect("the protos compile");
    let generated = read(&out);
    let golden = root().join("golden").join(name);
    if std::env::var_os("LARIAT_UPDATE_GOLDEN").is_some() {
        drop(fs::remove_dir_all(&golden));
        fs::create_dir_all(&golden).expect("the golden directory");
        for (name, content) in &generated {
            fs::write(golden.join(name), content).expect("a golden file");
        }
    }
    let expected = read(&golden);
    let names = |files: &[(String, String)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&generated), names(&expected));
    for ((name, generated), (_, expected)) in generated.iter().zip(&expected) {
        let mut lines = (1..).zip(generated.lines().zip(expected.lines()));
        let difference = lines.find(|(_, (generated, expected))| generated != expected);
        assert_eq!(
            difference, None,
            "{name} differs (line, (generated, golden)); the head of this test says more"
        );
        assert_eq!(generated.len(), expected.len(), "{name} is longer or shorter than the golden file");
    }
}

#[test]
fn code_generated_by_default_equals_the_golden_files() {
    check(
        "default",
        |builder| builder,
        &[
            "kinds.proto",
            "comments.proto",
            "names.proto",
            "no_package.proto",
            "shop/v1/shop.proto",
            "legacy.proto",
        ],
    );
}

#[test]
fn code_generated_with_options_equals_the_golden_files() {
    check(
        "options",
        |builder| {
            builder
                .build_client(false)
                .generate_default_stubs(true)
                .emit_package(false)
                .compile_well_known_types(true)
                .prost_path("::prost")
                .codec_path("lariat::codec::Prost")
                .bytes(".lariat.test.kinds.Sheep.photo")
                .btree_map(".lariat.test.kinds")
                .message_attribute("Total", "#[derive(PartialOrd, Ord)]")
                .extern_path(".shop", "crate::public::shop")
        },
        &["kinds.proto", "shop/v1/shop.proto"],
    );
}
