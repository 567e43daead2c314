//! A screen as an SVG file.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;

/// Of a cell, in the picture's units.
const WIDTH: usize = 8;
const HEIGHT: usize = 17;

/// Draws what a screen of text shows.
pub fn svg(screen: &Buffer) -> String {
    let (columns, rows) = (screen.area.width, screen.area.height);
    let (width, height) = (usize::from(columns) * WIDTH, usize::from(rows) * HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-8 -8 {} {}\" font-family=\"ui-monospace, Menlo, \
         Consolas, monospace\" font-size=\"13\">\n<rect x=\"-8\" y=\"-8\" width=\"100%\" height=\"100%\" rx=\"6\" \
         fill=\"#16181d\"/>\n",
        width + 16,
        height + 16
    );
    for row in 0..rows {
        let mut column = 0;
        while column < columns {
            let begin = column;
            let ink = Ink::of(&screen[(column, row)]);
            let mut text = String::new();
            while column < columns && Ink::of(&screen[(column, row)]) == ink {
                text.push_str(screen[(column, row)].symbol());
                column += 1;
            }
            ink.draw(&mut svg, &text, (begin.into(), row.into()));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[derive(PartialEq)]
struct Ink {
    color: &'static str,
    bold: bool,
    reversed: bool,
}

impl Ink {
    fn of(cell: &Cell) -> Self {
        let color = match cell.fg {
            Color::Green => "#7ec07e",
            Color::Yellow => "#e0b84c",
            Color::LightRed => "#f08a5d",
            Color::Red => "#e8514f",
            Color::DarkGray => "#737a86",
            _ => "#d6dae0",
        };
        Self {
            color,
            bold: cell.modifier.contains(Modifier::BOLD),
            reversed: cell.modifier.contains(Modifier::REVERSED),
        }
    }

    fn draw(&self, svg: &mut String, text: &str, (column, row): (usize, usize)) {
        if text.trim().is_empty() {
            return;
        }
        let (x, y) = (column * WIDTH, row * HEIGHT);
        let width = text.chars().count() * WIDTH;
        if self.reversed {
            let color = self.color;
            let _infallible = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{color}\"/>"
            );
        }
        let color = if self.reversed { "#16181d" } else { self.color };
        let weight = if self.bold {
            " font-weight=\"bold\""
        } else {
            ""
        };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        // Stretched to the grid, whatever the font.
        let _infallible = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" fill=\"{color}\"{weight} textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" \
             xml:space=\"preserve\">{text}</text>",
            y + 13
        );
    }
}
