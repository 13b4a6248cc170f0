//! A web server for one test: the files of a directory, and a place where a page tells how it went.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longest word of a page, in bytes.
const LONGEST: usize = 1 << 20;

/// A running server; it serves until the test's process ends.
pub(crate) struct Web {
    address: SocketAddr,
    told: Receiver<String>,
    at: Arc<Mutex<String>>,
}

impl Web {
    /// Serves the files of a directory.
    pub(crate) fn serve(directory: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (tell, told) = channel();
        let directory = directory.to_owned();
        let at = Arc::new(Mutex::new("it never said where it was".to_owned()));
        let place = at.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (directory, tell, at) = (directory.clone(), tell.clone(), at.clone());
                std::thread::spawn(move || converse(&stream, &directory, &tell, &at));
            }
        });
        Self { address, told, at: place }
    }

    pub(crate) fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.address)
    }

    /// What a page told, at most so much later.
    pub(crate) fn told(&self, patience: Duration) -> Option<String> {
        self.told.recv_timeout(patience).ok()
    }

    /// Where a page was when it last said so.
    pub(crate) fn last_at(&self) -> String {
        self.at.lock().expect("nobody panics with it").clone()
    }
}

/// One connection: requests until the other side has no more.
fn converse(stream: &TcpStream, directory: &Path, tell: &Sender<String>, at: &Mutex<String>) -> Option<()> {
    let (mut from, mut to) = (BufReader::new(stream), stream);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            from.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            let lower = header.to_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse::<usize>().ok().filter(|length| *length <= LONGEST)?;
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?, words.next()?);
        let (status, bytes) = if method == "POST" {
            let said = String::from_utf8_lossy(&body).into_owned();
            if target == "/at" {
                *at.lock().expect("nobody panics with it") = said;
            } else {
                tell.send(said).ok()?;
            }
            ("204 No Content", Vec::new())
        } else {
            file(directory, target).map_or(("404 Not Found", Vec::new()), |bytes| ("200 OK", bytes))
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            kind(target),
            bytes.len()
        );
        to.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            to.write_all(&bytes).ok()?;
        }
    }
}

fn file(directory: &Path, target: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(target.split('?').next()?.trim_start_matches('/'));
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| fs::read(directory.join(path)).ok())?
}

fn kind(target: &str) -> &'static str {
    match target.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("mpd") => "application/dash+xml",
        _ => "video/mp4",
    }
}
