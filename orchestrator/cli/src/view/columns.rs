//! Tables: columns as wide as their widest cell, two spaces apart.

use super::fit;

/// One column, its cells safe to show.
#[derive(Debug)]
pub(crate) struct Column {
    head: String,
    cells: Vec<String>,
    align: Align,
    width: usize,
    /// When it is made narrower, and when it is left out, in a window that is too narrow: the highest first.
    narrows: Option<usize>,
    goes: Option<usize>,
}

/// Where a cell stands in its column, and where it is cut when that is too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
    /// Ids, which differ least often in their middle.
    Id,
}

impl Column {
    pub(crate) fn new(head: impl Into<String>, align: Align, cells: Vec<String>) -> Self {
        let head = head.into();
        let width = cells.iter().chain([&head]).map(|cell| fit::width(cell)).max().unwrap_or(0);
        Self { head, cells, align, width, narrows: None, goes: None }
    }

    /// In a narrow window its cells are cut, before those of lower columns.
    pub(crate) fn narrows(self, rank: usize) -> Self {
        Self { narrows: Some(rank), ..self }
    }

    /// Where that is not enough it is left out, before lower ones.
    pub(crate) fn goes(self, rank: usize) -> Self {
        Self { goes: Some(rank), ..self }
    }

    fn padded(&self, cell: &str) -> String {
        match self.align {
            Align::Left => fit::left(cell, self.width),
            Align::Right => fit::right(cell, self.width),
            Align::Id => fit::left(&fit::cut_middle(cell, self.width), self.width),
        }
    }
}

/// Makes the table as narrow as the window, as far as it goes; gives the heads of what is left out.
pub(crate) fn fit_into(columns: &mut Vec<Column>, window: usize) -> Vec<String> {
    let mut narrowing: Vec<_> =
        columns.iter().enumerate().filter_map(|(at, of)| Some((of.narrows?, at))).collect();
    narrowing.sort_unstable();
    for (_, at) in narrowing.into_iter().rev() {
        let excess = width(columns).saturating_sub(window);
        columns[at].width -= excess.min(columns[at].width.saturating_sub(COLUMNS_MIN));
    }
    let mut going: Vec<_> = columns.iter().filter_map(|column| column.goes).collect();
    going.sort_unstable();
    let mut left_out = Vec::new();
    while width(columns) > window
        && let Some(rank) = going.pop()
        && let Some(at) = columns.iter().position(|column| column.goes == Some(rank))
    {
        left_out.push((at, columns.remove(at).head));
    }
    // In the order in which they stood.
    left_out.reverse();
    left_out.sort_by_key(|(at, _)| *at);
    left_out.into_iter().map(|(_, head)| head).collect()
}

/// What a line takes.
fn width(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.width + GAP.len()).sum::<usize>().saturating_sub(GAP.len())
}

/// The heads, and a line a row.
pub(crate) fn lines(columns: &[Column]) -> Vec<String> {
    let line = |cell: &dyn Fn(&Column) -> String| {
        columns.iter().map(cell).collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    let row = |at| line(&|column: &Column| column.padded(column.cells.get(at).map_or("", String::as_str)));
    std::iter::once(line(&|column: &Column| column.padded(&column.head))).chain((0..rows).map(row)).collect()
}

const GAP: &str = "  ";

/// Below this a cause or an id says nothing; a narrower window wraps the line.
const COLUMNS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_their_heads() {
        let cells = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let mut columns = vec![
            Column::new("TASK", Align::Id, cells(&["lr=0.1,momentum=0.9,depth=2", "日本"])).narrows(0),
            Column::new("LOSS", Align::Right, cells(&["0.25", "–"])).goes(0),
            Column::new("ACC", Align::Right, cells(&["0.5", "1"])).goes(1),
            Column::new("CAUSE", Align::Left, cells(&["", "no"])),
        ];
        assert_eq!(
            lines(&columns),
            [
                "TASK                         LOSS  ACC  CAUSE",
                "lr=0.1,momentum=0.9,depth=2  0.25  0.5",
                "日本                            –    1  no",
            ]
        );
        assert_eq!(width(&columns), 45);
        assert!(fit_into(&mut columns, 36).is_empty());
        assert_eq!(lines(&columns)[1], "lr=0.1,mome…epth=2  0.25  0.5");
        assert_eq!(fit_into(&mut columns, 30), ["ACC"], "as narrow as it can be");
        assert_eq!(lines(&columns)[1], "lr=0.1,mom…pth=2  0.25");
        assert_eq!(fit_into(&mut columns, 10), ["LOSS"]);
        assert_eq!(lines(&columns)[2], "日本              no");
    }
}
