//! The protoc plugin generates what a build script does.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prost::Message;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

fn protos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("protos")
}

/// What the plugin answers.
fn run(request: &CodeGeneratorRequest) -> CodeGeneratorResponse {
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_protoc-gen-lariat"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    let mut stdin = plugin.stdin.take().expect("its standard input");
    stdin.write_all(&request.encode_to_vec()).expect("it reads its input");
    drop(stdin);
    let output = plugin.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", output.status);
    CodeGeneratorResponse::decode(output.stdout.as_slice()).expect("a response")
}

/// A request as protoc makes it.
fn request(names: &[&str], parameter: &str) -> CodeGeneratorRequest {
    let set = protox::compile(names, [protos()]).expect("the protos compile");
    CodeGeneratorRequest {
        file_to_generate: names.iter().map(|name| (*name).to_owned()).collect(),
        parameter: Some(parameter.to_owned()),
        proto_file: set.file,
        compiler_version: None,
    }
}

#[test]
fn the_plugin_generates_what_a_build_script_does() {
    let names = [
        "kinds.proto",
        "comments.proto",
        "names.proto",
        "no_package.proto",
        "shop/money.proto",
        "shop/v1/shop.proto",
    ];
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin");
    drop(fs::remove_dir_all(&out));
    fs::create_dir_all(&out).expect("a scratch directory");
    lariat_codegen::configure()
        .build_client(false)
        .type_attribute("Total", "#[derive(PartialOrd, Ord)]")
        .include_file("all.rs")
        .emit_rerun_if_changed(false)
        .out_dir(&out)
        .compile(&names.map(|name| protos().join(name)), &[protos()])
        .expect("the protos compile");
    let expected: BTreeMap<String, String> = fs::read_dir(&out)
        .expect("the output directory")
        .map(|entry| {
            let entry = entry.expect("a directory entry");
            let content = fs::read_to_string(entry.path()).expect("a text file");
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect();

    let parameter =
        "build_client=false,type_attribute=Total=#[derive(PartialOrd\\, Ord)],include_file=all.rs";
    let response = run(&request(&names, parameter));
    assert_eq!(response.error, None);
    let generated: BTreeMap<String, String> =
        response.file.into_iter().map(|file| (file.name().to_owned(), file.content().to_owned())).collect();
    assert_eq!(generated.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(generated == expected, "the plugin's output differs from that of a build script");
}

#[test]
fn imports_are_read_but_not_generated() {
    let response = run(&request(&["shop/v1/shop.proto"], ""));
    let names: Vec<_> = response.file.iter().map(|file| file.name()).collect();
    assert_eq!(names, ["shop.v1.rs"]);
}

#[test]
fn an_unknown_option_is_told_to_protoc() {
    let response = run(&request(&["no_package.proto"], "colour=red"));
    assert!(response.error().starts_with("unknown option \"colour\""), "{}", response.error());
    assert!(response.file.is_empty());
}

#[test]
fn optional_fields_of_proto3_are_supported() {
    // FEATURE_PROTO3_OPTIONAL: without it protoc refuses files that have such fields.
    assert_eq!(run(&request(&["kinds.proto"], "")).supported_features() & 1, 1);
}

/// protoc, if it is installed.
fn protoc() -> Option<Command> {
    let path = std::env::var_os("PROTOC").unwrap_or_else(|| OsStr::new("protoc").to_owned());
    Command::new(&path).arg("--version").output().ok()?;
    Some(Command::new(path))
}

#[test]
fn protoc_runs_the_plugin() {
    let Some(mut protoc) = protoc() else {
        eprintln!("skipped: protoc is not installed");
        return;
    };
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("protoc");
    drop(fs::remove_dir_all(&out));
    fs::create_dir_all(&out).expect("a scratch directory");
    let status = protoc
        .arg(format!("--plugin=protoc-gen-lariat={}", env!("CARGO_BIN_EXE_protoc-gen-lariat")))
        .arg(format!("--lariat_out={}", out.display()))
        .arg("-I")
        .arg(protos())
        .args(["kinds.proto", "comments.proto"])
        .status()
        .expect("protoc runs");
    assert!(status.success());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("golden").join("default");
    for name in ["lariat.test.kinds.rs", "lariat.test.comments.rs"] {
        let read = |dir: &Path| fs::read_to_string(dir.join(name)).expect("a generated file");
        // Two compilers may encode descriptors differently, so the code before them is compared.
        let code =
            |source: String| source.split("/// The descriptors of this package").next().map(str::to_owned);
        assert_eq!(code(read(&out)), code(read(&golden)));
    }
}
