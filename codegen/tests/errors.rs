//! Errors name what is wrong and where.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory of this test that holds the given files alone.
fn scratch(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&path));
    fs::create_dir_all(&path).expect("a scratch directory");
    for (name, content) in files {
        fs::write(path.join(name), content).expect("a scratch file");
    }
    path
}

/// What compiling the first of the files says, as cargo shows it.
fn error(name: &str, files: &[(&str, &str)]) -> String {
    let dir = scratch(name, files);
    let (proto, _) = files.first().expect("a file");
    let builder = lariat_codegen::configure().out_dir(&dir).emit_rerun_if_changed(false);
    let error = builder.compile(&[dir.join(proto)], &[&dir]).expect_err("a mistake");
    assert_eq!(format!("{error}"), format!("{error:?}"));
    error.to_string()
}

#[test]
fn a_syntax_error_has_file_line_and_column() {
    let message = error("syntax", &[("a.proto", "syntax = \"proto3\";\n\nmessage A {\n  int32 x 1;\n}\n")]);
    assert!(message.starts_with("a.proto:4:11: expected "), "{message}");
}

#[test]
fn an_unknown_type_has_file_line_and_column() {
    let message =
        error("unknown", &[("a.proto", "syntax = \"proto3\";\nservice S {\n  rpc M(A) returns (B);\n}\n")]);
    assert!(message.starts_with("a.proto:3:9:") && message.contains("'A'"), "{message}");
}

#[test]
fn an_error_in_an_import_names_the_imported_file() {
    let message = error(
        "in_import",
        &[
            ("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n"),
            ("b.proto", "syntax = \"proto3\";\nmessage {}\n"),
        ],
    );
    assert!(message.starts_with("b.proto:2:9: expected "), "{message}");
}

#[test]
fn a_missing_import_names_the_line_that_imports_it() {
    let message = error("missing", &[("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n")]);
    assert!(message.starts_with("a.proto:2:") && message.contains("'b.proto' not found"), "{message}");
}

#[test]
fn a_file_outside_of_the_includes_is_refused_with_a_hint() {
    let dir = scratch("outside", &[]);
    let message = lariat_codegen::configure()
        .out_dir(&dir)
        .compile(&["nowhere/a.proto"], &[&dir])
        .expect_err("no such file")
        .to_string();
    assert!(
        message.contains("nowhere/a.proto") && message.ends_with("under one of the include directories"),
        "{message}"
    );
}

#[test]
fn an_output_directory_that_does_not_exist_is_named() {
    let dir = scratch("no_out", &[("a.proto", "syntax = \"proto3\";\nmessage A {}\n")]);
    let out = dir.join("not").join("there");
    let message = lariat_codegen::configure()
        .out_dir(&out)
        .emit_rerun_if_changed(false)
        .compile(&[dir.join("a.proto")], &[&dir])
        .expect_err("no such directory")
        .to_string();
    assert!(message.starts_with("can't write ") && message.contains("not/there/_.rs: "), "{message}");
}
