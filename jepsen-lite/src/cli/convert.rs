//! `convert`: from one format into another.

use std::io::{self, Write};

use jepsen_lite::formats::{ObjectRecording, Recording, write};
use jepsen_lite::models::{NilReads, Settings};

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
    // All of it before any: what cannot be written must not cost the file that is there.
    let mut text = Vec::new();
    if let Err(error) = write(&loaded.recording, arguments.to, &mut text) {
        return complain(source, error);
    }
    let written = match &arguments.output {
        None => io::stdout().lock().write_all(&text),
        Some(file) => std::fs::write(file, &text),
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
        Recording::Object(object) => {
            tell_of_settings(&source, object);
            object.history.len()
        }
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

/// Says what the format that was read says of the object, and the other one cannot.
fn tell_of_settings(source: &Source, object: &ObjectRecording) {
    let Settings { initial, nil_reads } = &object.settings;
    if let Some(initial) = initial {
        complain(
            source,
            format!("note: its first value is {initial}; say --init {initial} to check"),
        );
    }
    if *nil_reads == NilReads::Nil {
        complain(
            source,
            "note: its reads of nil say that there was nothing; what was written lets them say anything",
        );
    }
}
