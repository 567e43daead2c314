//! What `--timeline` records and writes.

#[cfg(feature = "timeline")]
pub(crate) use recorded::{Timeline, start};

#[cfg(not(feature = "timeline"))]
pub(crate) use refused::{Timeline, start};

#[cfg(feature = "timeline")]
mod recorded {
    use crate::Failure;
    use mlx_wired::Manager;
    use mlx_wired::recorder::{BackgroundRecorder, Recorder, Written};
    use std::fmt;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    /// Short beside the work, long beside what a sample costs.
    const SAMPLED_EVERY: Duration = Duration::from_millis(10);

    pub(crate) struct Timeline {
        recorder: BackgroundRecorder,
        folder: PathBuf,
    }

    /// Where to look.
    pub(crate) struct Look(Written);

    pub(crate) fn start(manager: &Manager, folder: &Path) -> Result<Timeline, Failure> {
        let recorder = Recorder::new(manager);
        Ok(Timeline {
            recorder: recorder.in_background(SAMPLED_EVERY)?,
            folder: folder.to_owned(),
        })
    }

    impl Timeline {
        pub(crate) fn write(self) -> Result<Look, Failure> {
            let recording = self.recorder.finish();
            let written = recording.write_to(&self.folder);
            let problem = |error| format!("{}: {error}", self.folder.display());
            Ok(Look(written.map_err(problem)?))
        }
    }

    impl fmt::Display for Look {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Written { page, trace, .. } = &self.0;
            writeln!(f, "{:<21} {}", "timeline", page.display())?;
            writeln!(
                f,
                "{:<21} {}, for https://ui.perfetto.dev",
                "trace",
                trace.display()
            )
        }
    }
}

#[cfg(not(feature = "timeline"))]
mod refused {
    use crate::Failure;
    use mlx_wired::Manager;
    use std::path::Path;

    /// Never made: the command line refuses `--timeline` without the feature.
    pub(crate) enum Timeline {}

    pub(crate) fn start(_: &Manager, _: &Path) -> Result<Timeline, Failure> {
        Err("--timeline needs the feature timeline".into())
    }

    impl Timeline {
        pub(crate) fn write(self) -> Result<String, Failure> {
            match self {}
        }
    }
}
