//! An S3 server for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use hstore_server::ports;

pub(crate) const KEY_ID: &str = "AKIDFORTESTS";
pub(crate) const SECRET: &str = "a-secret-that-nobody-may-see";

/// An S3 server of its own, with one bucket. It ends when this is dropped.
pub(crate) struct S3 {
    port: u16,
    stdin: Option<ChildStdin>,
    child: Child,
}

impl S3 {
    pub(crate) fn start() -> Self {
        let port = ports::free(1).expect("a port")[0];
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/s3-server.sh");
        let mut child = Command::new(script)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the script is there");
        let mut told = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("Running on") {
            let before = said.len();
            told.read_line(&mut said).expect("text");
            assert!(said.len() > before, "the S3 server did not start: {said}");
        }
        // What it says must not fill the pipe.
        let drain = move || std::io::copy(&mut told, &mut std::io::sink());
        let drain = std::thread::Builder::new().spawn(drain);
        drain.expect("the system has room for a thread");
        let s3 = Self {
            port,
            stdin: child.stdin.take(),
            child,
        };
        s3.make_bucket("bucket");
        s3
    }

    fn make_bucket(&self, name: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let ask = format!(
            "PUT /{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// What a process is told of it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // The script ends with its standard input, and kills the server.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
