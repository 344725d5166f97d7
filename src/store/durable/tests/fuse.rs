//! An in-memory file system that knows what a power cut would leave: the bytes of each file at its last
//! sync, under the names of each directory at its last sync.
//!
//! It speaks the kernel's FUSE protocol, so that the real database runs on it unchanged. Needs the right
//! to mount; without it, says loudly that it checked nothing.
//!
//! ```text
//! request = length 4 | operation 4 | id 8 | node 8 | user, group, process 16 | body
//! reply   = length 4 | error 4 | id 8 | body
//! ```

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use parking_lot::MutexGuard;

use super::*;

/// A sync takes effect after this, so that an answer that does not wait for the sync comes before it.
const SYNC_TAKES: Duration = Duration::from_millis(2);

const ROOT: u64 = 1;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOTEMPTY: i32 = 39;
const ENOSYS: i32 = 38;

/// A synced file: its first bytes, and its length with the zeros after them.
type Synced = (Vec<u8>, u64);

/// What a power cut leaves: files and (without content) directories by path.
pub(super) type Remains = BTreeMap<PathBuf, Option<Synced>>;

/// Whether a power cut keeps the changes of names that were not synced. A file system may keep any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    AsSynced,
    AsSeen,
}

#[derive(Default)]
struct Node {
    is_dir: bool,
    bytes: Vec<u8>,
    len: u64,
    synced: Synced,
    /// The ranges written since the last sync: from, to.
    dirty: Vec<(usize, usize)>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
}

/// The files, and what was synced of them.
pub(super) struct Disk {
    nodes: Vec<Node>,
    /// Batches that were acknowledged so far; counted by the test.
    pub(super) acknowledged: u64,
    /// With each sync: the number of acknowledged batches and what a power cut before it would have left.
    pub(super) history: Option<Vec<(u64, Remains)>>,
}

impl Disk {
    fn new() -> Self {
        let root = || Node {
            is_dir: true,
            ..Node::default()
        };
        Self {
            nodes: vec![root(), root()],
            acknowledged: 0,
            history: None,
        }
    }

    fn node(&mut self, number: u64) -> &mut Node {
        &mut self.nodes[usize::try_from(number).expect("few files")]
    }

    pub(super) fn remains(&self, names: Names) -> Remains {
        let mut remains = Remains::new();
        self.collect(ROOT, Path::new(""), names, &mut remains);
        remains
    }

    fn collect(&self, dir: u64, path: &Path, names: Names, remains: &mut Remains) {
        let dir = &self.nodes[dir as usize];
        let entries = match names {
            Names::AsSynced => &dir.synced_names,
            Names::AsSeen => &dir.names,
        };
        for (name, number) in entries {
            let (path, node) = (path.join(name), &self.nodes[*number as usize]);
            if node.is_dir {
                remains.insert(path.clone(), None);
                self.collect(*number, &path, names, remains);
            } else {
                remains.insert(path, Some(node.synced.clone()));
            }
        }
    }

    fn note(&mut self) {
        let Some(mut history) = self.history.take() else {
            return;
        };
        for names in [Names::AsSynced, Names::AsSeen] {
            history.push((self.acknowledged, self.remains(names)));
        }
        self.history = Some(history);
    }

    fn sync(&mut self, number: u64) {
        self.note();
        let node = self.node(number);
        if node.is_dir {
            node.synced_names = node.names.clone();
            return;
        }
        node.synced.1 = node.len;
        node.synced.0.resize(node.bytes.len(), 0);
        for (from, to) in std::mem::take(&mut node.dirty) {
            let to = to.min(node.bytes.len());
            if from < to {
                node.synced.0[from..to].copy_from_slice(&node.bytes[from..to]);
            }
        }
    }

    fn write(&mut self, number: u64, at: usize, bytes: &[u8]) {
        let node = self.node(number);
        let end = at + bytes.len();
        if node.bytes.len() < end {
            node.bytes.resize(end, 0);
        }
        node.bytes[at..end].copy_from_slice(bytes);
        node.len = node.len.max(end as u64);
        node.dirty.push((at, end));
    }

    fn set_len(&mut self, number: u64, len: u64) {
        let node = self.node(number);
        node.len = len;
        let kept = node.bytes.len().min(usize::try_from(len).expect("fits"));
        node.dirty.push((kept, node.bytes.len().max(node.synced.0.len())));
        node.bytes.truncate(kept);
    }

    fn read(&mut self, number: u64, at: u64, size: u32) -> Vec<u8> {
        let node = self.node(number);
        let end = (at + u64::from(size)).min(node.len);
        let range = at.min(end) as usize..end as usize;
        let mut bytes = node.bytes.get(range.start..).unwrap_or_default().to_vec();
        bytes.resize(range.len(), 0);
        bytes
    }

    fn child(&mut self, dir: u64, name: &str) -> Result<u64, i32> {
        self.node(dir).names.get(name).copied().ok_or(ENOENT)
    }

    fn make(&mut self, dir: u64, name: &str, is_dir: bool) -> Result<u64, i32> {
        if self.child(dir, name).is_ok() {
            return Err(EEXIST);
        }
        let number = self.nodes.len() as u64;
        self.nodes.push(Node {
            is_dir,
            ..Node::default()
        });
        self.node(dir).names.insert(name.to_owned(), number);
        Ok(number)
    }

    fn remove(&mut self, dir: u64, name: &str) -> Result<(), i32> {
        let number = self.child(dir, name)?;
        if !self.node(number).names.is_empty() {
            return Err(ENOTEMPTY);
        }
        self.node(dir).names.remove(name);
        Ok(())
    }

    fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Result<(), i32> {
        let number = self.child(from.0, from.1)?;
        self.node(from.0).names.remove(from.1);
        self.node(to.0).names.insert(to.1.to_owned(), number);
        Ok(())
    }
}

/// The mounted disk, unmounted when it is dropped.
pub(super) struct PowerCutDisk {
    dir: TempDir,
    disk: Arc<Mutex<Disk>>,
    server: Option<JoinHandle<()>>,
}

impl PowerCutDisk {
    #[expect(clippy::disallowed_methods, reason = "it is joined when the disk goes")]
    pub(super) fn mount() -> Option<Self> {
        let dir = TempDir::new().expect("a directory");
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let mounted = device.and_then(|device| {
            let options = "fd=0,rootmode=40000,user_id=0,group_id=0";
            let status = Command::new("mount")
                .args(["-i", "-t", "fuse", "-o", options, "causeway-test"])
                .arg(dir.path())
                .stdin(Stdio::from(device.try_clone()?))
                .status()?;
            status
                .success()
                .then_some(device)
                .ok_or(io::ErrorKind::Other.into())
        });
        let Ok(device) = mounted else {
            eprintln!(
                "SKIPPED, NOTHING CHECKED: a test of power cuts needs the right to mount with /dev/fuse"
            );
            return None;
        };
        let disk = Arc::new(Mutex::new(Disk::new()));
        let served = Arc::clone(&disk);
        let server = Some(std::thread::spawn(move || serve(device, &served)));
        Some(Self { dir, disk, server })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Blocks every request while the guard is held.
    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock()
    }
}

impl Drop for PowerCutDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        if unmounted.is_ok_and(|status| status.success())
            && let Some(server) = self.server.take()
        {
            let _ = server.join();
        }
    }
}

/// Puts into a directory what a power cut left.
pub(super) fn lay_out(remains: &Remains, into: &Path) {
    for (path, file) in remains {
        let path = into.join(path);
        match file {
            None => fs::create_dir(&path).expect("is made"),
            Some((bytes, len)) => {
                fs::write(&path, bytes).expect("is written");
                let file = File::options().write(true).open(&path);
                file.and_then(|file| file.set_len(*len)).expect("is extended");
            }
        }
    }
}

fn serve(mut device: File, disk: &Mutex<Disk>) {
    let mut request = vec![0; 1024 * 1024];
    // Ends when the disk is unmounted.
    while let Ok(len) = device.read(&mut request) {
        let request = Request(&request[..len]);
        let replied = match answer(&request, disk) {
            None => Ok(()),
            Some(Ok(body)) => device.write_all(&reply(&request, 0, &body)),
            Some(Err(error)) => device.write_all(&reply(&request, -error, &[])),
        };
        if replied.is_err() {
            return;
        }
    }
}

fn reply(request: &Request<'_>, error: i32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + body.len()).expect("is short");
    let mut reply = [len.to_le_bytes(), error.to_le_bytes()].concat();
    reply.extend(request.u64(8).to_le_bytes());
    reply.extend(body);
    reply
}

struct Request<'a>(&'a [u8]);

/// Where the body of a request begins.
const BODY: usize = 40;

impl Request<'_> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    /// The zero-terminated text at this offset in the body.
    fn name(&self, at: usize) -> &str {
        let bytes = self.0[BODY + at..].split(|byte| *byte == 0).next();
        std::str::from_utf8(bytes.unwrap_or_default()).expect("is text")
    }
}

/// None for requests that want no reply.
fn answer(request: &Request<'_>, disk: &Mutex<Disk>) -> Option<Result<Vec<u8>, i32>> {
    let (operation, number) = (request.u32(4), request.u64(16));
    if matches!(operation, 20 | 30) {
        std::thread::sleep(SYNC_TAKES);
    }
    let disk = &mut *disk.lock();
    let done = Ok(Vec::new());
    Some(match operation {
        1 => disk
            .child(number, request.name(0))
            .map(|child| entry(disk, child)),
        2 | 36 | 42 => return None,
        3 => Ok(attributes(disk, number)),
        4 => {
            if request.u32(BODY) & 8 != 0 {
                disk.set_len(number, request.u64(BODY + 16));
            }
            Ok(attributes(disk, number))
        }
        9 => disk
            .make(number, request.name(8), true)
            .map(|made| entry(disk, made)),
        10 | 11 => disk.remove(number, request.name(0)).map(|()| Vec::new()),
        12 | 45 => {
            let at = if operation == 12 { 8 } else { 16 };
            let from = request.name(at);
            let to = request.name(at + from.len() + 1);
            let renamed = disk.rename((number, from), (request.u64(BODY), to));
            renamed.map(|()| Vec::new())
        }
        14 | 27 => Ok(vec![0; 16]),
        15 => Ok(disk.read(number, request.u64(BODY + 8), request.u32(BODY + 16))),
        16 => {
            let size = request.u32(BODY + 16);
            let at = usize::try_from(request.u64(BODY + 8)).expect("fits");
            disk.write(number, at, &request.0[BODY + 40..BODY + 40 + size as usize]);
            Ok([size, 0].map(u32::to_le_bytes).concat())
        }
        17 => Ok(statistics()),
        18 | 25 | 29 | 38 => done,
        20 | 30 => {
            disk.sync(number);
            done
        }
        26 => Ok(initialised()),
        28 => Ok(listing(disk, number, request.u64(BODY + 8))),
        35 => disk.make(number, request.name(16), false).map(|made| {
            let mut opened = entry(disk, made);
            opened.extend([0; 16]);
            opened
        }),
        _ => Err(ENOSYS),
    })
}

/// An hour: the files change only through the kernel.
const VALID: u64 = 3600;

fn entry(disk: &mut Disk, number: u64) -> Vec<u8> {
    let mut entry = [number, 0, VALID, VALID, 0].map(u64::to_le_bytes).concat();
    entry.extend(attribute(disk, number));
    entry
}

fn attributes(disk: &mut Disk, number: u64) -> Vec<u8> {
    let mut attributes = [VALID, 0].map(u64::to_le_bytes).concat();
    attributes.extend(attribute(disk, number));
    attributes
}

fn attribute(disk: &mut Disk, number: u64) -> Vec<u8> {
    let node = disk.node(number);
    let mode: u32 = if node.is_dir { 0o40755 } else { 0o100_644 };
    let mut attribute = [number, node.len, node.len.div_ceil(512), 0, 0, 0]
        .map(u64::to_le_bytes)
        .concat();
    attribute.extend(
        [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]
            .map(u32::to_le_bytes)
            .concat(),
    );
    attribute
}

fn statistics() -> Vec<u8> {
    const BLOCKS: u64 = 1 << 30;
    let mut statistics = [BLOCKS; 5].map(u64::to_le_bytes).concat();
    statistics.extend([4096, 255, 4096, 0].map(u32::to_le_bytes).concat());
    statistics.extend([0; 24]);
    statistics
}

fn initialised() -> Vec<u8> {
    const BIG_WRITES: u32 = 32;
    const WRITE_BYTES_MAX: u32 = 128 * 1024;
    let (version, readahead) = ([7, 31], WRITE_BYTES_MAX);
    let mut reply = [
        version[0],
        version[1],
        readahead,
        BIG_WRITES,
        0,
        WRITE_BYTES_MAX,
        1,
    ]
    .map(u32::to_le_bytes)
    .concat();
    reply.resize(64, 0);
    reply
}

/// All names of a directory at once, whatever size was asked for: they are few.
fn listing(disk: &mut Disk, number: u64, offset: u64) -> Vec<u8> {
    let mut listing = Vec::new();
    let names = disk.node(number).names.clone();
    for ((name, child), at) in names.iter().zip(1u64..) {
        if at <= offset {
            continue;
        }
        let kind = if disk.node(*child).is_dir { 4 } else { 8 };
        listing.extend([*child, at].map(u64::to_le_bytes).concat());
        listing.extend([name.len() as u32, kind].map(u32::to_le_bytes).concat());
        listing.extend(name.as_bytes());
        listing.resize(listing.len().next_multiple_of(8), 0);
    }
    listing
}
