//! Tables and colours. Colours appear only on a terminal and never with `NO_COLOR`.

use std::io::IsTerminal;

/// What colours a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Busy,
    Faint,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Busy => "36",
            Self::Faint => "2",
        }
    }
}

/// Whether standard output shows colours.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && allowed()
}

/// Whether the environment allows colours at all.
pub(crate) fn allowed() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// `text` in a tone.
pub(crate) fn toned(text: &str, tone: Tone, colours: bool) -> String {
    if colours && tone != Tone::Plain {
        format!("\x1b[{}m{text}\x1b[0m", tone.code())
    } else {
        text.to_owned()
    }
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell(pub(crate) String, pub(crate) Tone);

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self(text, Tone::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self(text.to_owned(), Tone::Plain)
    }
}

/// Rows under a head, columns as wide as they need to be.
pub(crate) fn table(head: &[&str], rows: &[Vec<Cell>], colours: bool) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.0.chars().count());
        cells.chain(std::iter::once(head[column].len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: Vec<(&str, Tone)>| {
        let last = cells.len() - 1;
        for (column, (cell, tone)) in cells.into_iter().enumerate() {
            text.push_str(&toned(cell, tone, colours));
            if column < last {
                text.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count() + 2));
            }
        }
        text.push('\n');
    };
    line(head.iter().map(|name| (*name, Tone::Faint)).collect());
    for row in rows {
        line(row.iter().map(|cell| (cell.0.as_str(), cell.1)).collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_colours_do_not_count() {
        let rows =
            vec![vec![Cell("ok".into(), Tone::Good), "x".into()], vec!["failed".into(), "größer".into()]];
        let plain = table(&["STATE", "NAME"], &rows, false);
        assert_eq!(plain, "STATE   NAME\nok      x\nfailed  größer\n");
        assert!(table(&["STATE", "NAME"], &rows, true).contains("\x1b[32mok\x1b[0m      x"));
    }
}
