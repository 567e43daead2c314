//! What is drawn in which colour. Charts and legends are drawn in stand-in colours, which the style sheet replaces in each
//! colour scheme.

use super::text::{Escaped, label};
use crate::recorder::series::{Demand, NAMES};
use plotters::style::RGBColor;

pub(super) const INK: RGBColor = RGBColor(1, 1, 1);
pub(super) const MUTED: RGBColor = RGBColor(2, 2, 2);
pub(super) const GRID: RGBColor = RGBColor(3, 3, 3);
pub(super) const SURFACE: RGBColor = RGBColor(4, 4, 4);
pub(super) const LIMIT: RGBColor = RGBColor(5, 5, 5);
pub(super) const BOUND: RGBColor = RGBColor(6, 6, 6);
pub(super) const ACTIVE: RGBColor = RGBColor(7, 7, 7);
pub(super) const PEAK: RGBColor = RGBColor(8, 8, 8);
pub(super) const WAIT: RGBColor = RGBColor(9, 9, 9);
pub(super) const HEAT: RGBColor = RGBColor(16, 16, 16);

/// How many colours there are for names: those of Okabe and Ito, which people with colour-blindness tell apart, without
/// black. Each is used plain, then hatched.
const COLORS: usize = 7;

const _: () = assert!(NAMES == 2 * COLORS, "each name has its own look");

/// The colour of a name's series; that of all others comes after the last.
pub(super) const fn series(index: usize) -> RGBColor {
    RGBColor(32, 32, index as u8)
}

fn hex(color: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

/// The hatchings of the colours, and the look of what all other names hold, to be found by every chart and legend.
pub(super) fn patterns() -> String {
    const RISING: &str = "M-1,1 l2,-2 M0,7 l7,-7 M6,8 l2,-2";
    const FALLING: &str = "M-1,6 l2,2 M0,0 l7,7 M6,-1 l2,2";
    let pattern = |id: &str, color: RGBColor, lines: &str| {
        let color = hex(color);
        format!(
            "<pattern id=\"{id}\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\">\
             <rect width=\"7\" height=\"7\" fill=\"{color}\"/><path d=\"{lines}\"/></pattern>"
        )
    };
    let hatched = |index| pattern(&format!("hatched-{index}"), series(index), RISING);
    let hatched: String = (0..COLORS).map(hatched).collect();
    let others = pattern("others", GRID, &format!("{RISING} {FALLING}"));
    format!(
        "<svg class=\"patterns\" aria-hidden=\"true\" width=\"0\" height=\"0\"><defs>{hatched}{others}</defs></svg>\n"
    )
}

/// A mark of a legend: a small drawing in a stand-in colour.
pub(super) struct Key {
    mark: String,
    name: String,
}

impl Key {
    pub(super) fn filled(color: RGBColor, name: &str) -> Self {
        Self {
            mark: format!(
                "<rect x=\"1\" y=\"1\" width=\"18\" height=\"12\" fill=\"{}\"/>",
                hex(color)
            ),
            name: name.to_owned(),
        }
    }

    pub(super) fn line(color: RGBColor, name: &str) -> Self {
        Self {
            mark: format!("<path d=\"M0,7 h20\" stroke=\"{}\"/>", hex(color)),
            name: name.to_owned(),
        }
    }

    /// What is waited for and not held: hollow.
    pub(super) fn hollow(color: RGBColor, name: &str) -> Self {
        let color = hex(color);
        let mark = format!(
            "<rect x=\"1\" y=\"1\" width=\"18\" height=\"12\" fill=\"{color}\" fill-opacity=\"0.15\" stroke=\"{color}\"/>"
        );
        Self {
            mark,
            name: name.to_owned(),
        }
    }

    /// The names' keys, in the order of their series.
    pub(super) fn of_names(demand: &Demand) -> Vec<Self> {
        let names = demand.names.iter().enumerate().map(|(index, name)| {
            let name = match index {
                NAMES if demand.others == 1 => "1 other label".to_owned(),
                NAMES => format!("{} other labels together", demand.others),
                _ => label(name),
            };
            Self::filled(series(index), &name)
        });
        names.collect()
    }

    /// The mark alone, for a name that stands beside it.
    pub(super) fn mark(&self) -> String {
        format!(
            "<svg class=\"key\" viewBox=\"0 0 20 14\" aria-hidden=\"true\">{}</svg>",
            self.mark
        )
    }

    pub(super) fn item(&self) -> String {
        format!("<li>{}{}</li>", self.mark(), Escaped(&self.name))
    }
}
