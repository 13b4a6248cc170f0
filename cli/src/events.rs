//! Reads server-sent events (the HTML standard's `text/event-stream`) line by line.

use std::io::{self, BufRead};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    /// Its type.
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Longest line that is read; the coordinator's are shorter.
const MAX_LINE: u64 = 64 << 20;

/// The next event; `None` at the end of the stream.
pub(crate) fn next(stream: &mut impl BufRead) -> io::Result<Option<Event>> {
    let mut event = Event { name: "message".to_owned(), ..Event::default() };
    let mut data: Option<String> = None;
    let mut line = String::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut *stream, MAX_LINE).read_line(&mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if !line.ends_with('\n') {
            // The stream broke off within an event, which then does not count.
            return Ok(None);
        }
        let text = line.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            match data.take() {
                Some(data) => return Ok(Some(Event { data, ..event })),
                None => continue,
            }
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.name),
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            // A comment (an empty field), or a field that nobody knows.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_comments_and_a_torn_end_are_told_apart() {
        let text =
            ": here\n\nid: a-1\nevent: job\ndata: {\"x\":\ndata: 1}\n\n: here\n\ndata: y\n\ndata: torn";
        let mut stream = text.as_bytes();
        let mut all = Vec::new();
        while let Some(event) = next(&mut stream).expect("memory does not fail") {
            all.push(event);
        }
        assert_eq!(
            all,
            vec![
                Event { id: Some("a-1".into()), name: "job".into(), data: "{\"x\":\n1}".into() },
                Event { id: None, name: "message".into(), data: "y".into() },
            ]
        );
    }
}
