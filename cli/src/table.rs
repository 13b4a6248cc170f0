//! Tables and colours. Colours appear only on a terminal and never with `NO_COLOR`; a table is no wider than the
//! terminal, and whole where standard output is none.

use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

use crate::words;

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

/// Rows under a head, columns as wide as they need to be, or as the terminal lets them.
pub(crate) fn table(head: &[&str], rows: &[Vec<Cell>], colours: bool) -> String {
    table_sparing(head, rows, &[], colours)
}

/// The same, and on a terminal that is too narrow without these columns, as many of them as it takes, the first ones first.
pub(crate) fn table_sparing(head: &[&str], rows: &[Vec<Cell>], spare: &[&str], colours: bool) -> String {
    let room = std::io::stdout().is_terminal().then(|| usize::from(console::Term::stdout().size().1));
    within(head, rows, spare, colours, room)
}

/// Least width of the last column, which is cut, before another one is left out.
const LAST: usize = 20;

fn within(head: &[&str], rows: &[Vec<Cell>], spare: &[&str], colours: bool, room: Option<usize>) -> String {
    let mut head = head.to_vec();
    let mut rows = rows.to_vec();
    rows.iter_mut().flatten().for_each(|cell| cell.0 = words::harmless(&cell.0).replace(['\n', '\t'], " "));
    let mut widths: Vec<usize> = (0..head.len()).map(|column| width(&head, &rows, column)).collect();
    if let Some(room) = room {
        for name in spare {
            let last = widths.last().copied().unwrap_or(0);
            let needed = total(&widths) - last + last.min(LAST);
            let Some(column) = head.iter().position(|other| other == name).filter(|_| needed > room) else {
                continue;
            };
            head.remove(column);
            widths.remove(column);
            rows.iter_mut().filter(|row| column < row.len()).for_each(|row| drop(row.remove(column)));
        }
        let over = total(&widths).saturating_sub(room);
        // The widest column is cut; people recognise the begin of a name, and --output json has all of it. An id is of
        // no use but whole.
        let first = usize::from(head.first() == Some(&"ID") && head.len() > 1);
        let widest = (first..head.len()).max_by_key(|column| widths[*column]).unwrap_or(0);
        let least = head[widest].len().max(8);
        if over > 0 && widths[widest] > least {
            widths[widest] = widths[widest].saturating_sub(over).max(least);
            for row in &mut rows {
                if let Some(cell) = row.get_mut(widest) {
                    cell.0 = words::clipped(&cell.0, widths[widest]);
                }
            }
        }
    }
    let mut text = String::new();
    let mut line = |cells: Vec<(&str, Tone)>| {
        let last = cells.len() - 1;
        for (column, (cell, tone)) in cells.into_iter().enumerate() {
            text.push_str(&toned(cell, tone, colours));
            if column < last {
                text.extend(std::iter::repeat_n(' ', widths[column].saturating_sub(cell.width()) + 2));
            }
        }
        text.push('\n');
    };
    line(head.iter().map(|name| (*name, Tone::Faint)).collect());
    for row in &rows {
        line(row.iter().map(|cell| (cell.0.as_str(), cell.1)).collect());
    }
    text
}

fn width(head: &[&str], rows: &[Vec<Cell>], column: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.0.width());
    cells.chain(std::iter::once(head[column].len())).max().unwrap_or(0)
}

/// All columns with two spaces between.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_least_is_left_out_where_a_terminal_is_narrow_and_ids_stay_whole() {
        let rows =
            vec![vec!["job_01jv2c8k3q".into(), "0.12 s".into(), "a name of thirty letters, yes!".into()]];
        let head = ["ID", "RAN", "NAME"];
        let shown = |room| within(&head, &rows, &["RAN"], false, Some(room));
        assert_eq!(
            shown(80),
            "ID              RAN     NAME\njob_01jv2c8k3q  0.12 s  a name of thirty letters, yes!\n"
        );
        assert_eq!(shown(44), "ID              RAN     NAME\njob_01jv2c8k3q  0.12 s  a name of thirty le…\n");
        assert_eq!(shown(43), "ID              NAME\njob_01jv2c8k3q  a name of thirty letters, …\n");
        assert_eq!(shown(20), "ID              NAME\njob_01jv2c8k3q  a name …\n");
    }

    #[test]
    fn columns_align_and_colours_do_not_count() {
        let rows =
            vec![vec![Cell("ok".into(), Tone::Good), "x".into()], vec!["failed".into(), "größer".into()]];
        let plain = table(&["STATE", "NAME"], &rows, false);
        assert_eq!(plain, "STATE   NAME\nok      x\nfailed  größer\n");
        assert!(table(&["STATE", "NAME"], &rows, true).contains("\x1b[32mok\x1b[0m      x"));
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_column_and_wide_letters_count_twice() {
        let rows =
            vec![vec!["名前.mp4".into(), "x".into()], vec!["a-rather-long-name.mp4".into(), "y".into()]];
        let narrow = within(&["FILE", "STATE"], &rows, &[], false, Some(20));
        assert_eq!(narrow, "FILE           STATE\n名前.mp4       x\na-rather-lon…  y\n");
    }
}
