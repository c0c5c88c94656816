//! `trainwire results`: what came of a job's tasks, a row each, read from the folder the job is in. No daemon need
//! run, and it does not matter whether one does.
//!
//! | file | what it does |
//! | --- | --- |
//! | `find` | which folder has the job |
//! | `row` | a row as programs get it, from here and from the daemon |
//! | `table`, `csv` | rows for people, and for other tools |

mod csv;
mod find;
mod row;
mod table;

use std::io::{self, IsTerminal, Write};

use self::find::Found;
pub(crate) use self::row::Row;
use crate::args::ResultsArgs;
use crate::exit::{Exit, Failure};
use crate::ranking::Ranking;
use crate::view::screen::Size;

/// Prints the results.
pub(crate) fn results(args: &ResultsArgs) -> Result<Exit, Failure> {
    let found = Found::new(args)?;
    let mut rows = found.rows()?;
    if let Some(ranking) = Ranking::new(args.maximize.as_deref(), args.minimize.as_deref()) {
        row::rank(&mut rows, &ranking).map_err(|error| Failure::new(Exit::Usage, error))?;
    }
    let text = if args.json {
        // Texts, numbers and maps with text as keys always serialize.
        serde_json::to_string(&rows).unwrap_or_default()
    } else if args.csv {
        csv::text(&rows)
    } else {
        let columns = io::stdout().is_terminal().then(|| Size::of(io::stdout()).columns);
        let leading = args.maximize.as_deref().or(args.minimize.as_deref());
        table::text(&rows, leading, columns) + &format!("\n{}", found.place())
    };
    // E.g. `| head`: whoever read has seen enough.
    let _ = writeln!(io::stdout().lock(), "{}", text.trim_end());
    Ok(Exit::Succeeded)
}
