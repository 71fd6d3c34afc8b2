//! Small tables: columns as wide as their widest cell, numbers to the right.

use super::look::{Look, columns};

/// Which side a column's cells touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Rows of cells. The last column takes what is left of the line and is shortened to it.
#[derive(Debug)]
pub(crate) struct Table {
    sides: Vec<Side>,
    head: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(sides: &[Side]) -> Self {
        Self { sides: sides.to_vec(), head: None, rows: Vec::new() }
    }

    /// Gives it a dim first line.
    pub(crate) fn head(&mut self, cells: &[&str]) {
        self.head = Some(cells.iter().map(|&cell| cell.to_owned()).collect());
    }

    /// Adds a row of plain text.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, indented by two.
    pub(crate) fn text(&self, look: &Look) -> String {
        let all = || self.head.iter().chain(&self.rows);
        let width =
            |column: usize| all().filter_map(|row| row.get(column)).map(|cell| columns(cell)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.sides.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (at, ((cell, side), &width)) in row.iter().zip(&self.sides).zip(&widths).enumerate() {
                line.push_str("  ");
                let last = at + 1 == self.sides.len();
                let padding = " ".repeat(width.saturating_sub(columns(cell)));
                match side {
                    Side::Left if last => {
                        let room = look.width.saturating_sub(columns(&line)).max(8);
                        line.push_str(&look.fit(cell, room));
                    }
                    Side::Left => line.extend([cell.as_str(), &padding]),
                    Side::Right => line.extend([padding.as_str(), cell]),
                }
            }
            line.truncate(line.trim_end().len());
            line
        };
        let mut text = String::new();
        if let Some(head) = &self.head {
            text += &look.dim(&line(head));
            text.push('\n');
        }
        for row in &self.rows {
            text += &line(row);
            text.push('\n');
        }
        text
    }
}
