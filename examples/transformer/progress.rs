//! Bars on standard error: one line for what happens now. Nothing where that is no terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Bars(MultiProgress);

/// A bar; gone when dropped.
pub(crate) struct Line(ProgressBar);

impl Bars {
    pub(crate) fn line(&self, name: &'static str, length: u64) -> Line {
        let style =
            ProgressStyle::with_template("{prefix:>13} {bar:16.cyan/dim} {pos}/{len} {wide_msg}");
        let style = style.expect("a valid template").progress_chars("━━╌");
        let bar = self
            .0
            .add(ProgressBar::new(length).with_style(style).with_prefix(name));
        bar.enable_steady_tick(Duration::from_millis(200));
        Line(bar)
    }
}

impl std::ops::Deref for Line {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
