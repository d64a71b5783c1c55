//! How far a long piece of work is, on a terminal.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use super::job::Stage;

/// After so many ticks, work is long.
const LONG: u32 = 10;

/// A bar on standard error, if that is a terminal and it takes long.
pub(crate) struct Bar {
    name: String,
    ticks: u32,
    bar: Option<ProgressBar>,
}

impl Bar {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ticks: 0,
            bar: None,
        }
    }

    /// Shows where the work is now.
    pub(crate) fn show(&mut self, stage: Stage) {
        self.ticks += 1;
        if self.ticks < LONG || !stderr().is_terminal() {
            return;
        }
        let name = &self.name;
        let bar = self.bar.get_or_insert_with(|| {
            let template = "{spinner} {prefix} {wide_bar} {msg} [{elapsed}]";
            let style = ProgressStyle::with_template(template);
            let bar = ProgressBar::new(0).with_prefix(name.clone());
            bar.with_style(style.expect("the template is one"))
        });
        let (position, length, message) = match stage {
            Stage::Reading { bytes, bytes_total } => (
                bytes,
                bytes_total,
                format!("reading: {} MB", bytes / 1_000_000),
            ),
            Stage::Judging {
                steps,
                events,
                events_total,
            } => (
                events,
                events_total,
                match steps {
                    0 => "judging".to_owned(),
                    steps => format!("searching: {steps} steps"),
                },
            ),
        };
        bar.set_length(length);
        bar.set_position(position);
        bar.set_message(message);
        bar.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
