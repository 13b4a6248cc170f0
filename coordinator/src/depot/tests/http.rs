//! Uploads and downloads over HTTP.

use super::*;

/// Status, headers (lower case) and body of an answer, read as plain bytes so that nothing is smoothed over.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let json: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        json["code"].as_str().expect("a code").to_owned()
    }
}

async fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (host, path) = url.strip_prefix("http://").expect("http").split_once('/').expect("a path");
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("connected");
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if method == "PUT" && !headers.iter().any(|(name, _)| *name == "content-length") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    stream.write_all((head + "\r\n").as_bytes()).await.expect("sent");
    // A server that refuses early may close before all of it is sent.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("text").replace('\r', "");
    let (first, rest) = head.split_once('\n').unwrap_or((&head, ""));
    let lower = rest.lines().map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}\n", name.to_lowercase()),
        None => line.to_owned(),
    });
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    Answer { status, head: lower.collect(), body: answer[end + 4..].to_vec() }
}

fn upload(content: &[u8]) -> Location {
    Location::Upload(TenantId::default_tenant(), hash_of(content))
}

#[tokio::test]
async fn an_upload_arrives_whole_and_a_second_one_is_not_needed() {
    let stage = Stage::new();
    let content: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    let url = stage.url(Grant::Write(upload(&content)));
    let before = ask("HEAD", &url, &[], b"").await;
    assert_eq!((before.status, before.header("upload-offset")), (200, Some("0")));
    assert_eq!(before.header("upload-complete"), Some("?0"));
    assert_eq!(ask("PUT", &url, &[], &content).await.status, 201);
    let after = ask("HEAD", &url, &[], b"").await;
    assert_eq!(
        (after.header("upload-offset"), after.header("upload-complete")),
        (Some("2800000"), Some("?1"))
    );
    assert_eq!(ask("PUT", &url, &[], &content).await.status, 200);
    assert!(stage.fetch(&upload(&content)).await.expect("fetched") == content);
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_was_also_after_a_restart() {
    let stage = Stage::new();
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let url = stage.url(Grant::Write(upload(&content)));
    // 400,000 bytes are announced, not all of them come, and of those the last may be lost on the way.
    ask_and_hang_up(&url, content.len(), &content[..300_000]).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let offset = loop {
        assert!(std::time::Instant::now() < deadline, "nothing was kept");
        let head = ask("HEAD", &url, &[], b"").await;
        let offset: usize = head.header("upload-offset").and_then(|o| o.parse().ok()).expect("an offset");
        if offset == 0 {
            continue;
        }
        // Refused while the broken request is not wound up yet.
        let range = format!("bytes {offset}-{}/400000", offset + 999);
        let piece = ask("PUT", &url, &[("content-range", &range)], &content[offset..offset + 1000]).await;
        if piece.status == 202 {
            assert_eq!(piece.header("upload-offset"), Some((offset + 1000).to_string().as_str()));
            break offset + 1000;
        }
        assert_eq!(piece.status, 409);
    };
    let dir = stage.end().await;
    let stage = Stage::again(dir, |_| {});
    let url = stage.url(Grant::Write(upload(&content)));
    let text = offset.to_string();
    let wrong = ask("PUT", &url, &[("content-range", "bytes 5-9/400000")], b"xxxxx").await;
    assert_eq!((wrong.status, wrong.header("upload-offset")), (409, Some(text.as_str())));
    let rest = ask("PUT", &url, &[("upload-offset", &text)], &content[offset..]).await;
    assert_eq!(rest.status, 201, "{}", String::from_utf8_lossy(&rest.body));
    assert!(stage.fetch(&upload(&content)).await.expect("fetched") == content);
}

async fn ask_and_hang_up(url: &str, announced: usize, body: &[u8]) {
    use tokio::io::AsyncWriteExt as _;
    let (host, path) = url.strip_prefix("http://").expect("http").split_once('/').expect("a path");
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("connected");
    let head = format!("PUT /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body).await.expect("sent");
    stream.shutdown().await.expect("shut");
}

#[tokio::test]
async fn other_content_than_announced_is_refused_and_nothing_of_it_stays() {
    let stage = Stage::new();
    let url = stage.url(Grant::Write(upload(b"what was announced")));
    let answer = ask("PUT", &url, &[], b"something else").await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "wrong_content"));
    assert_eq!(stage.leftovers(), Vec::<String>::new());
    assert_eq!(ask("PUT", &url, &[], b"what was announced").await.status, 201);
}

#[tokio::test]
async fn an_upload_over_the_limit_or_the_disk_is_refused() {
    let stage = Stage::with(|config| config.max_upload_bytes = 1000);
    let url = stage.url(Grant::Write(upload(&[1; 1001])));
    assert_eq!(ask("PUT", &url, &[], &[1; 1001]).await.code(), "upload_too_large");
    let stage = Stage::with(|config| config.min_free_bytes = u64::MAX / 2);
    let answer = ask("PUT", &stage.url(Grant::Write(upload(b"x"))), &[], b"x").await;
    assert_eq!(answer.status, 507);
    assert_eq!(stage.leftovers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_download_has_its_name_its_type_and_its_ranges() {
    let stage = Stage::new();
    let artifact = stage.store(b"0123456789", &staged(1, "x.mp4")).await.expect("stored");
    stage.publish(&artifact, &output("ünï.mp4")).await.expect("published");
    let url = stage.url(Grant::Read(output("ünï.mp4")));
    let whole = ask("GET", &url, &[], b"").await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, &b"0123456789"[..]));
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    assert_eq!(whole.header("content-length"), Some("10"));
    let disposition = whole.header("content-disposition").expect("there");
    assert!(
        disposition.starts_with("attachment") && disposition.contains("%C3%BCn%C3%AF.mp4"),
        "{disposition}"
    );
    let part = ask("GET", &url, &[("range", "bytes=3-5")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"345"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 3-5/10"));
    assert_eq!(ask("GET", &url, &[("range", "bytes=99-")], b"").await.status, 416);
    let head = ask("HEAD", &url, &[], b"").await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));
}

#[tokio::test]
async fn a_download_that_its_client_does_not_take_gives_its_place_to_others() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let stage = Stage::with(|config| {
        config.max_transfers = 1;
        config.idle_timeout = std::time::Duration::from_millis(500);
    });
    // More than sockets hold.
    let content = vec![7; 48 << 20];
    let artifact = stage.store(&content, &staged(1, "x.mp4")).await.expect("stored");
    stage.publish(&artifact, &output("x.mp4")).await.expect("published");
    let url = stage.url(Grant::Read(output("x.mp4")));
    let (host, path) = url.strip_prefix("http://").expect("http").split_once('/').expect("a path");
    let mut idler = tokio::net::TcpStream::connect(host).await.expect("connected");
    let head = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    idler.write_all(head.as_bytes()).await.expect("sent");
    assert_eq!(idler.read_u8().await.expect("an answer"), b'H');
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let answer = ask("GET", &url, &[("range", "bytes=3-5")], b"").await;
        if answer.status == 206 {
            break;
        }
        assert_eq!((answer.status, answer.code().as_str()), (503, "busy"));
        assert!(std::time::Instant::now() < deadline, "its place never became free");
    }
    let mut rest = Vec::new();
    let _ = idler.read_to_end(&mut rest).await;
    assert!(rest.len() < content.len(), "what was given up is cut off");
}

#[tokio::test]
async fn every_refusal_is_a_problem_document_that_says_what_to_do() {
    let stage = Stage::new();
    let missing = stage.url(Grant::Read(output("missing.mp4")));
    let outside = stage.url(Grant::Read(stage.input("outside/x")));
    let publish = Grant::Publish { from: staged(1, "a"), to: output("a") };
    let base = stage.http.clone();
    let cases = [
        ("GET", base.clone(), 401, "no_ticket"),
        ("GET", format!("{base}?ticket=zz"), 403, "bad_ticket"),
        ("PUT", stage.url(Grant::Read(output("a"))), 403, "bad_ticket"),
        ("PUT", stage.url(Grant::Write(staged(1, "a"))), 403, "bad_ticket"),
        ("GET", stage.url(Grant::Write(upload(b"x"))), 403, "bad_ticket"),
        ("GET", stage.url(publish), 403, "bad_ticket"),
        ("GET", missing, 404, "input_not_found"),
        ("GET", outside, 403, "outside_roots"),
        ("POST", base.clone(), 405, "method_not_allowed"),
        ("GET", base.replace("/v1/files", "/v2"), 404, "no_such_route"),
    ];
    for (method, url, status, code) in cases {
        let answer = ask(method, &url, &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {url}");
    }
}
