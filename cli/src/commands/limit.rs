//! `rushes limit …`.

use rushes_shared::view::HeldLimitView;

use super::{client, print};
use crate::args::{FarmArgs, LimitCommand};
use crate::fault::{Ending, Fault};
use crate::table::{Cell, Tone, colours, table};

pub(super) fn run(farm: &FarmArgs, command: &LimitCommand) -> Result<Ending, Fault> {
    let client = client(farm)?;
    match command {
        LimitCommand::List { names } => {
            let list = client.limits(names)?;
            print(farm, &list, || listed(&list.items));
        }
        LimitCommand::Set { name, most } => {
            let limit = client.set_limit(name, Some(*most))?;
            print(farm, &limit, || format!("at most {most} of {name} are held at once\n"));
        }
        LimitCommand::Remove { name } => {
            let limit = client.set_limit(name, None)?;
            print(farm, &limit, || format!("{name} limits nothing any more\n"));
        }
    }
    Ok(Ending::Ok)
}

fn listed(limits: &[HeldLimitView]) -> String {
    if limits.is_empty() {
        return "no limit is set; 'rushes limit set NAME N' sets one\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = limits
        .iter()
        .map(|limit| {
            let is_full = limit.most.is_some_and(|most| limit.held >= most);
            let most = limit.most.map_or_else(|| "-".to_owned(), |most| most.to_string());
            let tone = if is_full { Tone::Busy } else { Tone::Plain };
            vec![Cell::from(limit.name.clone()), Cell::from(most), Cell(limit.held.to_string(), tone)]
        })
        .collect();
    table(&["LIMIT", "MOST", "HELD"], &rows, colours())
}
