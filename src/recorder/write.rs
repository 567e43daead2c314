//! Everything that can be written, into a folder.

use super::Recording;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// The files that [`Recording::write_to`] has written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// A page with charts and tables, which needs nothing else: `timeline.html`.
    pub page: PathBuf,
    /// A trace for <https://ui.perfetto.dev>: `trace.json`.
    pub trace: PathBuf,
    /// Every event: `events.csv`.
    pub events: PathBuf,
    /// Memory against time: `samples.csv`.
    pub samples: PathBuf,
    /// What each source used in total: `totals.csv`.
    pub totals: PathBuf,
}

impl Recording {
    /// Writes a page, a trace and tables into `folder`, which is made if it is not there. Files of the same names are replaced.
    ///
    /// # Errors
    ///
    /// What the file system fails with.
    pub fn write_to(&self, folder: impl AsRef<Path>) -> io::Result<Written> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder)?;
        let written = Written {
            page: folder.join("timeline.html"),
            trace: folder.join("trace.json"),
            events: folder.join("events.csv"),
            samples: folder.join("samples.csv"),
            totals: folder.join("totals.csv"),
        };
        let create = |path: &Path| Ok::<_, io::Error>(BufWriter::new(File::create(path)?));
        let intervals = self.intervals();
        self.write_page_of(&intervals, create(&written.page)?)?;
        self.write_chrome_trace_of(&intervals, create(&written.trace)?)?;
        self.write_events_csv(create(&written.events)?)?;
        self.write_samples_csv(create(&written.samples)?)?;
        self.write_totals_csv_of(&intervals, create(&written.totals)?)?;
        Ok(written)
    }
}
