//! Explains errors of the operating system: each with what helps against it.
//!
//! Pure and on a low floor, because files, sockets and threads are opened on many floors, and the help is
//! the same everywhere. An error without an errno (a file that ends early, invalid text) is not an error
//! of the system.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// The error, and what helps against it, if that is known.
pub fn explain(error: &io::Error) -> String {
    match help(error) {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}

/// The errno, also of an error that was wrapped to name its file.
fn errno(error: &io::Error) -> Option<Errno> {
    if let Some(errno) = Errno::from_io_error(error) {
        return Some(errno);
    }
    let mut cause: &(dyn Error + 'static) = error.get_ref()?;
    loop {
        if let Some(wrapped) = cause.downcast_ref() {
            return errno(wrapped);
        }
        cause = cause.source()?;
    }
}

/// What helps against an error of the system.
pub fn help(error: &io::Error) -> Option<&'static str> {
    Some(match errno(error)? {
        Errno::MFILE => {
            "this process may open no more files: raise its limit (ulimit -n, docker run --ulimit nofile=65536)"
        }
        Errno::NFILE => "this machine has too many files open: end what holds them, or raise fs.file-max",
        Errno::NOMEM => {
            "memory is short: give this process more (ulimit -v, the container's limit), or end other programs"
        }
        Errno::AGAIN => {
            "no more threads may be started: raise the limit of processes (ulimit -u, docker run --pids-limit)"
        }
        Errno::NXIO | Errno::NODEV => {
            "nothing is at the other end of that name, or it is a socket: give the name of a file"
        }
        Errno::IO => {
            "the device failed: look into the kernel's log (dmesg), and copy what is on it before anything else"
        }
        Errno::STALE => "the network file system was changed under this process: mount it again",
        Errno::ROFS => {
            "it is mounted read-only: mount it for writing; if the kernel did that itself, its log says why (dmesg)"
        }
        Errno::NOSPC => "free some room (df), or file names (df -i)",
        Errno::DQUOT => "the user's quota is used up: free some room, or raise the quota",
        Errno::FBIG => "a file may not grow that far: raise the limit of a file's size (ulimit -f)",
        Errno::ACCESS => "this user may not do that: change the permissions, or the user",
        Errno::PERM => {
            "the system forbids that, to the owner too: look for an attribute (lsattr, chattr -i), a missing capability, or \
             a seccomp profile"
        }
        Errno::ISDIR => {
            "a directory has the name that a file should have: move it away, or take another name"
        }
        Errno::NOTDIR | Errno::EXIST => {
            "something that is no directory has the name that a directory should have: move it away, or take \
             another name"
        }
        Errno::LOOP | Errno::NAMETOOLONG => "take another path",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_comes_with_what_helps() {
        for (errno, part) in [
            (Errno::MFILE, "ulimit -n"),
            (Errno::NFILE, "fs.file-max"),
            (Errno::NOMEM, "memory is short"),
            (Errno::AGAIN, "ulimit -u"),
            (Errno::IO, "dmesg"),
            (Errno::STALE, "mount it again"),
            (Errno::ROFS, "read-only"),
            (Errno::NOSPC, "df -i"),
            (Errno::DQUOT, "quota"),
            (Errno::FBIG, "ulimit -f"),
            (Errno::ACCESS, "permissions"),
            (Errno::PERM, "lsattr"),
            (Errno::ISDIR, "move it away"),
            (Errno::NOTDIR, "no directory"),
        ] {
            let error = io::Error::from(errno);
            let text = explain(&error);
            assert!(text.contains(part) && text.contains(&error.to_string()), "{text}");
        }
    }

    #[test]
    fn an_error_that_says_which_file_it_is_about_comes_with_what_helps() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0} at path \"x\"")]
        struct AtPath(#[source] io::Error);
        let full = AtPath(io::Error::from(Errno::NOSPC));
        assert!(explain(&io::Error::other(full)).contains("df -i"));
    }

    #[test]
    fn what_is_no_error_of_the_system_is_left_as_it_is() {
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(explain(&error), error.to_string());
        assert_eq!(help(&error), None);
    }
}
