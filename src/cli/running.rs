//! Finds where the program of this container listens, on whichever port and however it got its address:
//! from flags, variables or a file. It asks the kernel, not the program's settings.
//!
//! A container's program is process 1, or a descendant of an init and the scripts that start it. Its
//! listening sockets are in `/proc`, which the health check may read because it runs as the same user. On
//! a machine, where many processes lie between process 1 and a user's programs, nothing is found.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The programs of this project, by the names of their files.
const PROGRAMS: [&str; 3] = ["causeway", "master-svr", "svr"];

/// How far below process 1 a container's program may be: an init, a script, and what that calls.
const LEVELS: usize = 3;

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// The addresses on which the container's program listens, each once; none if there is no such program.
/// `proc` is `/proc`, and `own` this process.
pub(super) fn listening(proc: &Path, own: u32) -> Vec<SocketAddr> {
    let mut level = vec![(1, proc.join("1"))];
    let program = program(&proc.join(own.to_string()));
    for _ in 0..=LEVELS {
        let ours = level
            .iter()
            .filter(|(_, folder)| is_ours(folder, program.as_deref()));
        let found: BTreeSet<SocketAddr> = ours.flat_map(|(_, folder)| addresses(folder)).collect();
        if !found.is_empty() {
            return found.into_iter().collect();
        }
        let above: BTreeSet<u32> = level.iter().map(|(pid, _)| *pid).collect();
        let is_below = |folder: &Path| parent(folder).is_some_and(|parent| above.contains(&parent));
        let below = processes(proc).filter(|(pid, folder)| *pid != own && is_below(folder));
        level = below.collect();
    }
    Vec::new()
}

fn processes(proc: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

/// `pid (name) state ppid …`, where the name may hold anything.
fn parent(process: &Path) -> Option<u32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(1)?.parse().ok()
}

/// The name of the file that a process runs.
fn program(process: &Path) -> Option<String> {
    let program = fs::read_link(process.join("exe")).ok()?;
    let name = program.file_name()?.to_string_lossy();
    // If the file was replaced meanwhile, the kernel says so behind its name.
    Some(name.trim_end_matches(" (deleted)").to_owned())
}

/// True for a program of this project, and for one with the same file name as this process.
fn is_ours(process: &Path, own: Option<&str>) -> bool {
    program(process).is_some_and(|name| PROGRAMS.contains(&&*name) || Some(&*name) == own)
}

/// Where a process listens.
fn addresses(process: &Path) -> Vec<SocketAddr> {
    let sockets = sockets(process);
    let tables = ["net/tcp", "net/tcp6"].map(|table| fs::read_to_string(process.join(table)));
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    let found: BTreeSet<SocketAddr> = lines.filter_map(|line| listener(line, &sockets)).collect();
    found.into_iter().collect()
}

/// The sockets that a process has open, by their inodes.
fn sockets(process: &Path) -> BTreeSet<String> {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inodes = targets.filter_map(|target| {
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        Some(inode.to_owned())
    });
    inodes.collect()
}

/// The address in one line of a table, if that is one of these sockets and it listens.
fn listener(line: &str, sockets: &BTreeSet<String>) -> Option<SocketAddr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let is_it = *state == LISTENING && sockets.contains(*inode);
    let (ip, port) = local.split_once(':').filter(|_| is_it)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(address(ip)?, port))
}

/// Words of 32 bits in hexadecimal, each in the byte order of the machine.
fn address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for word in hex.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(|bytes| Ipv4Addr::from(bytes).into());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(|bytes| Ipv6Addr::from(bytes).into()))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Writes what the kernel would show of one process.
    fn process(proc: &Path, pid: u32, parent: u32, program: &str, listeners: &[(&str, u32)]) {
        let folder = proc.join(pid.to_string());
        fs::create_dir_all(folder.join("fd")).expect("is made");
        fs::create_dir_all(folder.join("net")).expect("is made");
        fs::write(folder.join("stat"), format!("{pid} (a) b) S {parent} 0 0")).expect("is written");
        symlink(program, folder.join("exe")).expect("is made");
        let mut tables = [
            "  sl  local_address\n".to_owned(),
            "  sl  local_address\n".to_owned(),
        ];
        for (address, inode) in listeners {
            symlink(
                format!("socket:[{inode}]"),
                folder.join("fd").join(inode.to_string()),
            )
            .expect("is made");
            let line = format!("   0: {address} 00000000:0000 0A 0:0 00:0 0 0 0 {inode} 1 0\n");
            tables[usize::from(address.len() > 20)].push_str(&line);
        }
        // Another process's listener, and a connection of our own.
        tables[0].push_str("   1: 0100007F:0050 00000000:0000 0A 0:0 00:0 0 0 0 999 1 0\n");
        symlink("socket:[998]", folder.join("fd/998")).expect("is made");
        tables[0].push_str("   2: 0100007F:0051 0100007F:9999 01 0:0 00:0 0 0 0 998 1 0\n");
        fs::write(folder.join("net/tcp"), &tables[0]).expect("is written");
        fs::write(folder.join("net/tcp6"), &tables[1]).expect("is written");
    }

    /// Process id, parent's id, program, and the listening sockets with their inodes.
    type Process<'a> = (u32, u32, &'a str, &'a [(&'a str, u32)]);

    fn found(processes: &[Process<'_>]) -> Vec<String> {
        let proc = tempfile::tempdir().expect("a folder");
        for (pid, parent, program, listeners) in processes {
            process(proc.path(), *pid, *parent, program, listeners);
        }
        let found = listening(proc.path(), 77);
        found.iter().map(ToString::to_string).collect()
    }

    const ANY_8080: &str = "00000000:1F90";
    const LOOPBACK_9001: &str = "0100007F:2329";
    const ANY_V6_8080: &str = "00000000000000000000000000000000:1F90";
    const LOOPBACK_V6_4455: &str = "00000000000000000000000001000000:1167";

    #[test]
    fn the_addresses_of_process_1_are_found() {
        for (listeners, expected) in [
            (&[(ANY_8080, 11), (ANY_8080, 12)][..], &["0.0.0.0:8080"][..]),
            (&[(LOOPBACK_9001, 11)], &["127.0.0.1:9001"]),
            (&[(ANY_V6_8080, 11)], &["[::]:8080"]),
            (&[(LOOPBACK_V6_4455, 11)], &["[::1]:4455"]),
            (&[], &[]),
        ] {
            let others: &[(&str, u32)] = &[(LOOPBACK_9001, 31)];
            let all = [
                (1, 0, "/bin/causeway", listeners),
                (30, 5, "/bin/causeway", others),
            ];
            assert_eq!(found(&all), expected);
        }
    }

    #[test]
    fn behind_an_init_its_child_is_found_and_nothing_where_process_1_is_another_program() {
        let node: &[(&str, u32)] = &[(ANY_8080, 11)];
        let init = (1, 0, "/sbin/docker-init", &[][..]);
        let health = (77, 1, "/bin/causeway", &[(LOOPBACK_9001, 21)][..]);
        assert_eq!(
            found(&[init, (7, 1, "/bin/causeway", node), health]),
            ["0.0.0.0:8080"]
        );
        let replaced = (7, 1, "/bin/causeway (deleted)", node);
        assert_eq!(found(&[init, replaced]), ["0.0.0.0:8080"]);
        let renamed = (7, 1, "/opt/kv-store", node);
        assert!(found(&[init, renamed, health]).is_empty());
        assert_eq!(
            found(&[init, renamed, (77, 1, "/opt/kv-store", &[])]),
            ["0.0.0.0:8080"]
        );
        let script = (7, 1, "/bin/sh", &[][..]);
        assert_eq!(
            found(&[init, script, (8, 7, "/bin/causeway", node), health]),
            ["0.0.0.0:8080"]
        );
        let called = (8, 7, "/bin/sh", &[][..]);
        let far = [
            init,
            script,
            called,
            (9, 8, "/bin/sh", &[]),
            (10, 9, "/bin/causeway", node),
        ];
        assert!(found(&far).is_empty());
        let systemd: &[(&str, u32)] = &[(LOOPBACK_9001, 21)];
        assert!(found(&[(1, 0, "/lib/systemd", systemd), (9, 5, "/bin/causeway", node)]).is_empty());
        assert!(found(&[(1, 0, "/lib/systemd", systemd), (9, 1, "/bin/sshd", node)]).is_empty());
        assert!(found(&[]).is_empty());
    }

    #[test]
    fn a_socket_of_this_process_is_found_where_the_kernel_shows_it() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("is free");
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&socket));
        let inode = fs::read_link(link)
            .expect("is shown")
            .to_string_lossy()
            .into_owned();
        let inode = inode
            .trim_start_matches("socket:[")
            .trim_end_matches(']')
            .to_owned();
        assert!(sockets(Path::new("/proc/self")).contains(&inode));
    }
}
