//! The house in order: what the compiler and the lints do not see. Every failure names the file, the line, the rule and
//! what to do; the rules and their tests are in the modules.

mod edges;
mod finding;
mod habits;
mod lexer;
mod limits;
mod lock;
mod orphans;
mod purity;
mod source;
mod traces;
mod workspace;

use finding::assert_none;
use workspace::PROJECT;

#[test]
fn parts_import_what_the_edge_table_lists() {
    assert_none(edges::check_parts(&PROJECT));
}

#[test]
fn crates_depend_on_what_the_edge_table_lists() {
    assert_none(edges::check_crates(&PROJECT));
}

#[test]
fn pure_parts_have_no_clock_lock_thread_or_socket() {
    assert_none(purity::check(&PROJECT));
}

#[test]
fn the_engine_reads_the_time_in_one_place() {
    assert_none(purity::check_clock(&PROJECT));
}

#[test]
fn every_source_file_is_compiled() {
    assert_none(orphans::check(&PROJECT));
}

#[test]
fn no_code_is_unsafe() {
    assert_none(habits::check_unsafe(&PROJECT));
}

#[test]
fn nothing_is_left_undone() {
    assert_none(habits::check_undone(&PROJECT));
}

#[test]
fn lines_fit_their_columns() {
    assert_none(habits::check_columns(&PROJECT));
}

#[test]
fn libraries_do_not_unwrap() {
    assert_none(habits::check_unwrap(&PROJECT));
}

#[test]
fn the_engines_tree_has_no_other_http_2_and_no_runtime() {
    assert_none(lock::check_tree(&PROJECT));
}

#[test]
fn packages_come_from_the_public_registry() {
    assert_none(lock::check_sources(&PROJECT));
}

#[test]
fn no_file_tells_of_the_machine_it_was_written_on() {
    assert_none(traces::check(&PROJECT));
}

#[test]
fn every_limit_has_a_row_and_every_row_a_test() {
    assert_none(limits::check(&PROJECT));
}
