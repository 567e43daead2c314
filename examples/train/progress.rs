//! Bars on standard error: one for each network, one for the whole. Nothing where that is no terminal.

use crate::network::NETWORKS;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;

const NETWORK: &str = "{prefix:>6} {bar:30.cyan/dim} {pos}/{len} folds  {msg}";
const WHOLE: &str = "{prefix:>6} {bar:30.green/dim} {percent:>3} %  {elapsed}, {eta} left  {msg}";

/// A line that says what happens now; gone with the last handle.
pub(crate) fn line() -> ProgressBar {
    let line = ProgressBar::new_spinner();
    line.set_style(style("measuring {msg}"));
    line
}

/// The bars of a sweep; gone when dropped, so that the table stands alone.
pub(crate) struct Bars {
    all: MultiProgress,
    networks: Vec<ProgressBar>,
    whole: ProgressBar,
}

impl Bars {
    pub(crate) fn new(folds: usize, epochs: usize) -> Self {
        let all = MultiProgress::new();
        let bar = |name, length: usize, template| {
            let bar = all.add(ProgressBar::new(length as u64));
            bar.set_style(style(template));
            bar.set_prefix(name);
            bar.tick();
            bar
        };
        let networks = NETWORKS
            .iter()
            .map(|network| bar(network.name, folds, NETWORK))
            .collect();
        let whole = bar("all", NETWORKS.len() * folds * epochs, WHOLE);
        whole.enable_steady_tick(Duration::from_millis(200));
        Self {
            all,
            networks,
            whole,
        }
    }

    pub(crate) fn epoch(&self) {
        self.whole.inc(1);
    }

    pub(crate) fn running(&self, folds: u64) {
        self.whole.set_message(format!("{folds} running"));
    }

    pub(crate) fn fold_done(&self, network: usize, accuracy: f64) {
        self.networks[network].inc(1);
        self.networks[network].set_message(format!("last {:.1} %", 100.0 * accuracy));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in self.networks.iter().chain([&self.whole]) {
            bar.finish_and_clear();
        }
        // What goes wrong here is drawing, and there is nothing left to draw.
        let _drawn = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.expect("a valid template").progress_chars("━━╌")
}
