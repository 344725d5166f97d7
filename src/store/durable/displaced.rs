//! Errors for files that were deleted, moved or replaced while the database had them open, distinguished
//! by what the operator does about them.

use std::path::PathBuf;

/// Files that a restart would not find.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Displaced {
    #[error(
        "the data directory {} was deleted or moved away while this node runs; \
         move it back, or restart this node: it starts empty and copies what its siblings have",
        .0.display()
    )]
    Gone(PathBuf),
    #[error(
        "another directory is at {} since this node started (a copy, or a file system mounted over it); \
         put the former one back, or restart this node: it goes on from what is there now",
        .0.display()
    )]
    Replaced(PathBuf),
    #[error("the data directory {} cannot be reached any more ({}); make it accessible again", .0.display(), .1)]
    Unreachable(PathBuf, String),
    #[error(
        "the files in the data directory {} were deleted while this node runs; \
         empty the directory and restart this node: it starts empty and copies what its siblings have",
        .0.display()
    )]
    Emptied(PathBuf),
    #[error(
        "the journal {} was deleted, replaced or cut while this node runs; \
         its records are written anew from memory, so try again; leave the files of a running node alone",
        .0.display()
    )]
    Journal(PathBuf),
    #[error(
        "the table file {} was deleted while this node runs; put it back, or empty the data directory and \
         restart this node: it starts empty and copies what its siblings have",
        .0.display()
    )]
    Table(PathBuf),
}
