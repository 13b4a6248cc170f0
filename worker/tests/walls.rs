//! What the walls of a task process really keep away. Each test starts this program again as an "inside" process that
//! calls the very `sandbox::enter` of a task process and then tries what it must not do; it reports what the kernel
//! answered. The sandbox needs a process with one thread, so this test has no threaded harness.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rushes_shared::task::TaskLimits;
use rushes_shared::units::Bytes;
use rushes_worker::process::protocol::Walls;
use rushes_worker::sandbox;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("files_outside_are_out_of_reach", files_outside_are_out_of_reach),
    ("the_network_is_out_of_reach", the_network_is_out_of_reach),
    ("other_processes_are_out_of_reach", other_processes_are_out_of_reach),
    ("its_own_work_goes_on", its_own_work_goes_on),
    ("limits_are_enforced", limits_are_enforced),
    ("a_process_with_threads_is_refused", a_process_with_threads_is_refused),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(spec) = arguments.strip_prefix(&["inside".to_owned()]) {
        inside(&spec[0]);
        return ExitCode::SUCCESS;
    }
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    if has("--list") {
        for (name, _) in TESTS.iter().filter(|_| !has("--ignored")) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    for (name, test) in TESTS {
        if filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str())) {
            test();
            println!("{name}: ok");
        }
    }
    ExitCode::SUCCESS
}

/// What the inside process is to try.
#[derive(Serialize, Deserialize)]
struct Spec {
    walls: Walls,
    /// A thread is started first.
    thread_first: bool,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    tcp_port: u16,
    other_pid: i32,
    spin: bool,
}

type Findings = BTreeMap<String, String>;

fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "allowed".to_owned(),
        Err(error) => format!("refused: {error}"),
    }
}

/// The other side of the wall.
fn inside(spec: &str) {
    let spec: Spec = serde_json::from_str(spec).expect("the spec is JSON");
    // A line of output needs no new file.
    let mut out = std::io::stdout();
    if spec.thread_first {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    let entered = sandbox::enter(&spec.walls);
    let mut found = Findings::new();
    let failed = entered.is_err();
    found.insert("enter".into(), entered.unwrap_or_else(|e| format!("refused: {e}")));
    if failed {
        let _ = writeln!(out, "{}", serde_json::to_string(&found).expect("text is JSON"));
        return;
    }
    if spec.spin {
        let mut n = 0_u64;
        loop {
            n = std::hint::black_box(n.wrapping_add(1));
        }
    }
    for path in &spec.read {
        let answer = if path.is_dir() { told(fs::read_dir(path)) } else { told(fs::File::open(path)) };
        found.insert(format!("read {}", path.display()), answer);
    }
    for path in &spec.write {
        found.insert(format!("write {}", path.display()), told(fs::write(path, "x")));
    }
    found.insert("link".into(), told(spec.read.first().map_or(Ok(()), |p| fs::hard_link(p, "linked"))));
    found.insert("symlink".into(), told(std::os::unix::fs::symlink("/etc/passwd", "output.mp4")));
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
    found.insert("fifo".into(), told(rustix::fs::mknodat(rustix::fs::CWD, "pipe", fifo, mode, 0)));
    found.insert("tcp".into(), told(TcpStream::connect(("127.0.0.1", spec.tcp_port))));
    found.insert("udp".into(), told(UdpSocket::bind("127.0.0.1:0")));
    found.insert("unix".into(), told(UnixDatagram::unbound()));
    found.insert("pair".into(), told(UnixDatagram::pair()));
    found.insert("program".into(), told(Command::new("/bin/true").spawn()));
    if let Some(pid) = Pid::from_raw(spec.other_pid) {
        found.insert("signal 0".into(), told(test_kill_process(pid)));
        found.insert("kill".into(), told(kill_process(pid, Signal::KILL)));
        let limit = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        found.insert(
            "its limits".into(),
            told(rustix::process::prlimit(Some(pid), rustix::process::Resource::Cpu, limit)),
        );
        found.insert(
            "pidfd".into(),
            told(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())),
        );
    }
    found.insert(
        "thread".into(),
        told(std::thread::Builder::new().spawn(|| ()).map(std::thread::JoinHandle::join)),
    );
    found.insert("own file".into(), told(fs::write("made-here", "x").and_then(|()| fs::read("made-here"))));
    found.insert("large file".into(), told(write_much()));
    found.insert("new root".into(), told(rustix::process::chroot(".")));
    found.insert(
        "raise a limit".into(),
        told(rustix::process::setrlimit(
            rustix::process::Resource::Fsize,
            rustix::process::Rlimit { current: None, maximum: None },
        )),
    );
    let _ = writeln!(out, "{}", serde_json::to_string(&found).expect("text is JSON"));
}

/// Past the limit on file size the kernel sends a signal whose default is death; a limit is met here by just asking.
fn write_much() -> std::io::Result<()> {
    let file = fs::File::create("large")?;
    file.set_len(1 << 19)
}

fn limits() -> TaskLimits {
    TaskLimits {
        wall_ms: 60_000,
        cpu_s: 30,
        address_space: Bytes(8 << 30),
        file_size: Bytes(1 << 20),
        stall_ms: 60_000,
    }
}

/// A spec in a fresh directory with a `work` directory and an `in` directory.
fn spec(dir: &Path) -> Spec {
    for part in ["work", "in", "other/work"] {
        fs::create_dir_all(dir.join(part)).expect("made");
    }
    fs::write(dir.join("in/input.mp4"), "media").expect("written");
    let read = ["/usr", "/lib", "/lib64", "/dev/null", "/dev/urandom"].map(PathBuf::from);
    Spec {
        walls: Walls {
            require_landlock: true,
            read: read.into_iter().chain([dir.join("in")]).collect(),
            write: Vec::new(),
            work_dir: dir.join("work"),
            limits: limits(),
        },
        thread_first: false,
        read: Vec::new(),
        write: Vec::new(),
        tcp_port: 9,
        other_pid: 0,
        spin: false,
    }
}

fn run(spec: &Spec) -> (Findings, std::process::ExitStatus) {
    let mut child = Command::new(std::env::current_exe().expect("it has a path"))
        .arg("inside")
        .arg(serde_json::to_string(spec).expect("it is JSON"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut text = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut text).expect("it is text");
    let status = child.wait().expect("it ends");
    (serde_json::from_str(text.trim()).unwrap_or_default(), status)
}

fn answer<'a>(found: &'a Findings, what: &str) -> &'a str {
    found.get(what).unwrap_or_else(|| panic!("'{what}' was not tried: {found:?}"))
}

fn assert_refused(found: &Findings, what: &str) {
    assert!(answer(found, what).starts_with("refused"), "{what}: {found:#?}");
}

fn assert_allowed(found: &Findings, what: &str) {
    assert_eq!(answer(found, what), "allowed", "{what}: {found:#?}");
}

fn files_outside_are_out_of_reach() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spec = spec(dir.path());
    let key = dir.path().join("key.pem");
    let other = dir.path().join("other/work/output.mp4");
    for file in [&key, &other] {
        fs::write(file, "secret").expect("written");
    }
    let outside = [
        key.clone(),
        other.clone(),
        dir.path().join("other/work"),
        dir.path().to_owned(),
        PathBuf::from("/etc/passwd"),
        PathBuf::from("/etc/shadow"),
        PathBuf::from("/proc/1/environ"),
        PathBuf::from("/proc/self/maps"),
    ];
    spec.read = outside.to_vec();
    spec.read.extend([dir.path().join("in/input.mp4"), PathBuf::from("/usr/bin/env")]);
    spec.write = vec![
        key.clone(),
        other,
        dir.path().join("in/input.mp4"),
        "/tmp/rushes-escape".into(),
        "/dev/null".into(),
    ];
    let (found, _) = run(&spec);
    for path in &outside {
        // What the file system does not have anyway proves nothing.
        assert_refused(&found, &format!("read {}", path.display()));
    }
    for path in &spec.write {
        assert_refused(&found, &format!("write {}", path.display()));
    }
    for what in ["link", "symlink", "fifo"] {
        assert_refused(&found, what);
    }
    assert_allowed(&found, &format!("read {}", dir.path().join("in/input.mp4").display()));
    assert_allowed(&found, "read /usr/bin/env");
    assert_eq!(fs::read_to_string(key).expect("it is there"), "secret");
}

fn the_network_is_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spec = spec(dir.path());
    spec.tcp_port = listener.local_addr().expect("bound").port();
    let (found, _) = run(&spec);
    for what in ["tcp", "udp", "unix"] {
        assert_refused(&found, what);
    }
}

fn other_processes_are_out_of_reach() {
    let mut victim = Command::new("sleep").arg("1000").spawn().expect("sleep is there");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spec = spec(dir.path());
    spec.other_pid = i32::try_from(victim.id()).expect("a pid");
    let (found, _) = run(&spec);
    let alive = victim.try_wait().expect("it can be asked").is_none();
    victim.kill().expect("it can be killed");
    victim.wait().expect("it ends");
    assert!(alive, "{found:#?}");
    for what in ["signal 0", "kill", "its limits", "pidfd", "program", "new root"] {
        assert_refused(&found, what);
    }
}

fn its_own_work_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (found, status) = run(&spec(dir.path()));
    assert!(status.success(), "{found:#?}");
    assert!(answer(&found, "enter").starts_with("landlock-v"), "{found:#?}");
    for what in ["own file", "large file", "thread", "pair"] {
        assert_allowed(&found, what);
    }
    assert!(dir.path().join("work/made-here").exists(), "its directory is the current one");
}

fn limits_are_enforced() {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spec = spec(dir.path());
    spec.walls.limits.file_size = Bytes(1 << 18);
    let (_, status) = run(&spec);
    assert_eq!(status.signal(), Some(libc::SIGXFSZ), "a file past its limit: {status}");
    spec.walls.limits.cpu_s = 1;
    spec.spin = true;
    let (_, status) = run(&spec);
    assert_eq!(status.signal(), Some(libc::SIGXCPU), "CPU time past its limit: {status}");
    assert!(!status.core_dumped());
    spec.spin = false;
    spec.walls.limits = limits();
    let (found, _) = run(&spec);
    assert_refused(&found, "raise a limit");
}

fn a_process_with_threads_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut spec = spec(dir.path());
    spec.thread_first = true;
    let (found, _) = run(&spec);
    assert!(answer(&found, "enter").contains("2 threads run"), "{found:#?}");
}
