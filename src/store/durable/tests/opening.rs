//! Directories that cannot be used, each with the error that helps.

use super::*;

fn refusal(dir: &Path) -> OpenError {
    DurableEngine::open(dir).expect_err("does not open")
}

#[test]
fn a_path_that_is_no_directory_is_named_with_its_fix() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("is written");
    for path in [file.clone(), file.join("below")] {
        let error = refusal(&path);
        assert!(matches!(error, OpenError::System { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&path.display().to_string()) && text.contains("no directory"),
            "{text}"
        );
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_is_not_called_damage() {
    for file in [
        "in-use",
        "lock",
        "0.jnl",
        "keyspaces/0/current",
        "keyspaces/0/tables/0",
    ] {
        let dir = TempDir::new().expect("a directory");
        let engine = DurableEngine::open(dir.path()).expect("opens");
        commit(&engine, &numbered(1)).expect("is stored");
        drop(engine);
        // A store this small has no table yet.
        let _ = fs::remove_file(dir.path().join(file));
        fs::create_dir(dir.path().join(file)).expect("is made");
        let error = refusal(dir.path());
        assert!(matches!(error, OpenError::System { .. }), "{file}: {error}");
        assert!(error.to_string().contains("move it away"), "{file}: {error}");
    }
}

#[test]
fn an_empty_file_of_the_database_is_damage() {
    let dir = TempDir::new().expect("a directory");
    drop(DurableEngine::open(dir.path()).expect("opens"));
    fs::write(dir.path().join("keyspaces/0/current"), "").expect("is written");
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_not_called_damaged() {
    let error = refusal(Path::new("/proc/self/nowhere"));
    assert!(matches!(error, OpenError::System { .. }), "{error}");
    assert!(error.to_string().contains("choose another directory"), "{error}");
}

#[test]
fn a_second_process_is_told_of_the_first() {
    let dir = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(dir.path()).expect("opens");
    assert!(matches!(refusal(dir.path()), OpenError::Locked(_)));
    drop(engine);
    DurableEngine::open(dir.path()).expect("opens after the first is gone");
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(dir.path()).expect("opens");
    commit(&engine, &numbered(1)).expect("is stored");
    let state = engine.state.lock();
    state
        .tables
        .as_ref()
        .expect("is open")
        .write_format(tables::FORMAT + 1);
    drop(state);
    drop(engine);
    assert!(matches!(refusal(dir.path()), OpenError::NewerFormat { .. }));
    fs::write(dir.path().join("version"), b"FJL\x09").expect("is written");
    assert!(matches!(refusal(dir.path()), OpenError::NewerFormat { .. }));
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    for marker in [None, Some(b"")] {
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("lock"), "").expect("is written");
        fs::write(dir.path().join("0.jnl"), [0; 100]).expect("is written");
        if let Some(bytes) = marker {
            fs::write(dir.path().join("version"), bytes).expect("is written");
        }
        let engine = DurableEngine::open(dir.path()).expect("opens");
        commit(&engine, &numbered(1)).expect("is stored");
    }
}

#[test]
fn a_damaged_record_is_an_error_that_names_its_key() {
    let dir = TempDir::new().expect("a directory");
    let engine = DurableEngine::open(dir.path()).expect("opens");
    commit(&engine, &numbered(1)).expect("is stored");
    let state = engine.state.lock();
    state.tables.as_ref().expect("is open").damage("key-1");
    drop(state);
    drop(engine);
    let engine = DurableEngine::open(dir.path()).expect("opens");
    let error = engine.recover().expect_err("is damaged").to_string();
    assert!(error.contains("\"key-1\""), "{error}");
}
