//! Opens pages in a headless Chromium, to see what their scripts make of them.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// A page as it is once it has been opened.
pub(crate) struct Opened {
    /// The document, with what scripts added to it.
    pub(crate) dom: String,
    /// What was written to the console, errors among it.
    pub(crate) console: Vec<String>,
}

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The browser: that of `HSTORE_CHROMIUM`, or the first one that the path has.
fn browser() -> String {
    if let Ok(path) = env::var("HSTORE_CHROMIUM") {
        assert!(
            Path::new(&path).is_file(),
            "HSTORE_CHROMIUM is {path}, which is not there; unset it, or say where Chromium is"
        );
        return path;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path).collect();
    let found = NAMES.iter().find_map(|name| {
        let mut places = directories.iter().map(|directory| directory.join(name));
        places.find(|place| place.is_file())
    });
    let found = found.expect(
        "pages are tested in Chromium, which is not on the path: run scripts/setup.sh, install Debian's \
         package chromium, or say by HSTORE_CHROMIUM where it is",
    );
    found.to_string_lossy().into_owned()
}

/// Opens a page as a file.
pub(crate) fn open(page: &str) -> Opened {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("page.html");
    fs::write(&file, page).expect("the page is written");
    // A browser that hangs must not hang the tests.
    let output = Command::new("timeout")
        .arg("120")
        .arg(browser())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            "--window-size=1400,1200",
            "--virtual-time-budget=10000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", directory.path().display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("Chromium starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "Chromium ended with {}: {errors}",
        output.status
    );
    let console = errors.lines().filter(|line| line.contains("CONSOLE"));
    Opened {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        console: console.map(str::to_owned).collect(),
    }
}

#[test]
fn errors_of_scripts_are_noticed() {
    let opened = open("<!doctype html><p>text<script>document.title = 'set'; missing()</script>");
    assert!(opened.dom.contains("<title>set</title>"), "{}", opened.dom);
    assert_eq!(opened.console.len(), 1, "{:?}", opened.console);
    assert!(opened.console[0].contains("missing is not defined"));
}
