//! `convert`: from one format into another.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use jepsen_lite::formats::{Recording, write};

use super::args::ConvertArguments;
use super::ending::Ending;
use super::input::Source;
use super::job::{self, Done};
use super::output::complain;

pub(crate) fn convert(arguments: &ConvertArguments) -> Ending {
    let source = Source::new(&arguments.file);
    let (from, format) = (source.clone(), arguments.format);
    let loaded = match job::run(&source.to_string(), move |watch| from.load(format, watch)) {
        Done::Finished(Ok(loaded)) => loaded,
        Done::Finished(Err(reason)) => return complain(source, reason),
        Done::Interrupted(_) => return complain(source, "interrupted; nothing was written"),
    };
    let written = match &arguments.output {
        None => {
            let output = BufWriter::new(io::stdout().lock());
            save(&loaded.recording, arguments, output)
        }
        Some(file) => File::create(file)
            .map_err(|error| error.to_string())
            .and_then(|file| save(&loaded.recording, arguments, BufWriter::new(file))),
    };
    let output = match &arguments.output {
        Some(file) => file.display().to_string(),
        None => "standard output".to_owned(),
    };
    if let Err(reason) = written {
        return complain(output, reason);
    }
    let operations = match &loaded.recording {
        Recording::Log(history) => history.len(),
        Recording::Object(object) => object.history.len(),
    };
    let guessed = if loaded.guessed { " (guessed)" } else { "" };
    // The history itself may have gone to standard output.
    let _ = writeln!(
        io::stderr(),
        "{source}: {}{guessed}, {operations} operations, written as {} to {output}",
        loaded.format,
        arguments.to
    );
    Ending::Valid
}

fn save(
    recording: &Recording,
    arguments: &ConvertArguments,
    mut output: impl Write,
) -> Result<(), String> {
    write(recording, arguments.to, &mut output).map_err(|error| error.to_string())?;
    output.flush().map_err(|error| error.to_string())
}
