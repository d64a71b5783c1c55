//! Object stores by URL: local files and an S3 server keep the contract, and what cannot be is said.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;

use bytes::Bytes;
use common::s3::{KEY_ID, S3, SECRET};
use hstore_core::ports::object_store::{
    Capabilities, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey, ObjectStore,
};
use hstore_server::objects::{Objects, OpenError};
use hstore_server::ports;
use hstore_tier2::contract::check_object_store;
use tokio::runtime::Runtime;

/// A store whose answers are waited for.
struct Waited {
    objects: Objects,
    runtime: Runtime,
}

impl Waited {
    fn open(url: &str, environment: &[(&str, &str)]) -> Self {
        let owned = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            objects: Objects::open(url, owned).expect("the URL names a store"),
            runtime: Runtime::new().expect("a runtime"),
        }
    }
}

impl ObjectStore for Waited {
    fn capabilities(&self) -> Capabilities {
        self.objects.capabilities()
    }

    fn call(&mut self, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError> {
        self.runtime.block_on(self.objects.call(ask))
    }
}

/// A place on the S3 server.
fn open(s3: &S3, url: &str) -> Waited {
    let environment = s3.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Waited::open(url, &environment)
}

fn key(text: &str) -> ObjectKey {
    text.parse().expect("a key")
}

fn put(store: &mut Waited, name: &str) -> Result<ObjectAnswer, ObjectError> {
    store.call(&ObjectAsk::PutIfAbsent {
        key: key(name),
        bytes: Bytes::from_static(b"something"),
    })
}

#[test]
fn local_files_keep_the_contract() {
    let room = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}", room.path().display());
    let mut store = Waited::open(&url, &[]);
    check_object_store(&mut store, &key("root"));
    // What somebody else has put there is none of ours, and harms nothing.
    std::fs::write(room.path().join("root/list/strange file!"), "x").expect("written");
    let ask = ObjectAsk::List {
        prefix: key("root/list"),
        after: None,
    };
    let Ok(ObjectAnswer::Listed { objects, .. }) = store.call(&ask) else {
        panic!("it is listed");
    };
    assert_eq!(objects.len(), 6);
}

#[test]
fn an_s3_server_keeps_the_contract() {
    let s3 = S3::start();
    check_object_store(&mut open(&s3, "s3://bucket/a/place"), &key("root"));
    // Elsewhere in the bucket nothing is seen of it.
    let mut beside = open(&s3, "s3://bucket/another");
    let ask = ObjectAsk::List {
        prefix: key("root"),
        after: None,
    };
    let listed = beside.call(&ask).expect("it is there");
    assert_eq!(
        listed,
        ObjectAnswer::Listed {
            objects: Vec::new(),
            more: false
        }
    );
    let missing = put(&mut open(&s3, "s3://no-such-bucket/x"), "a").expect_err("there is none");
    assert_eq!(missing.kind, ObjectErrorKind::NotFound);
}

/// A place on an S3 server that is none.
fn s3_at(port: u16) -> Waited {
    let endpoint = format!("http://127.0.0.1:{port}");
    let environment = [
        ("AWS_ENDPOINT_URL", &*endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    Waited::open("s3://bucket/x", &environment)
}

#[test]
fn a_store_that_does_not_answer_is_unavailable_and_tells_no_secret() {
    let port = ports::free(1).expect("a port")[0];
    let mut store = s3_at(port);
    let error = put(&mut store, "a").expect_err("nobody listens");
    assert_eq!(error.kind, ObjectErrorKind::Unavailable);
    let said = format!("{error} {error:?} {:?}", store.objects);
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(
        error.to_string(),
        "cannot put `a` in the object store: Generic S3 error: Error performing PUT: Connection refused (os error 111)"
    );
    let ask = ObjectAsk::List {
        prefix: key("root"),
        after: None,
    };
    let error = store.call(&ask).expect_err("nobody listens");
    let said = error.to_string();
    assert!(
        said.ends_with(": Connection refused (os error 111)"),
        "{said}"
    );
}

/// Answers the calls that come with this, one after the other. They must have no body.
fn answering(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it listens").port();
    let serve = move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            // Who asked may be gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    };
    let thread = std::thread::Builder::new().spawn(serve);
    thread.expect("a thread");
    port
}

#[test]
fn of_a_stores_answer_the_status_is_told_and_no_word() {
    let port =
        answering("HTTP/1.1 503 Busy\r\nContent-Length: 9\r\nConnection: close\r\n\r\nTOPSECRET");
    let mut store = s3_at(port);
    let ask = ObjectAsk::Get {
        key: key("a"),
        range: 0..9,
    };
    let error = store.call(&ask).expect_err("it has failed");
    assert_eq!(
        error.to_string(),
        "cannot get `a` in the object store: Generic S3 error: Error performing GET: it answered with status 503"
    );
}

#[test]
fn an_environment_that_does_not_fit_is_refused_and_tells_no_secret() {
    let refused = |url: &str, name: &str, value: &str| {
        let environment = [(name.to_owned(), value.to_owned())];
        let error = Objects::open(url, environment).expect_err("it is refused");
        assert!(matches!(error, OpenError::Setup { .. }), "{error:?}");
        error.to_string()
    };
    assert_eq!(
        refused("s3://bucket/x", "AWS_ENDPOINT_URL", "localhost:9000"),
        "the object store `s3://bucket/x` cannot be opened: the environment variable AWS_ENDPOINT_URL is `localhost:9000`: it has to begin with http:// or https:// and to name a host, for example http://127.0.0.1:9000"
    );
    for (url, name, value) in [
        ("s3://bucket/x", "AWS_ENDPOINT", "localhost:9000"),
        ("s3://bucket/x", "AWS_ENDPOINT_URL", ""),
        ("s3://bucket/x", "AWS_ENDPOINT_URL", "http://"),
        ("s3://bucket/x", "AWS_ENDPOINT_URL", "http://a host"),
        ("s3://bucket/x", "AWS_ENDPOINT_URL_S3", "localhost:9000"),
        ("s3://bucket/x", "AWS_ENDPOINT_URL_STS", "localhost:9000"),
        ("s3://bucket/x", "AWS_METADATA_ENDPOINT", "localhost:9000"),
        ("gs://bucket/x", "GOOGLE_BASE_URL", "localhost:9000"),
        ("az://box/x", "AZURE_STORAGE_ENDPOINT", "localhost:9000"),
        ("az://box/x", "AZURE_ENDPOINT", "localhost:9000"),
        ("az://box/x", "AZURE_MSI_ENDPOINT", "localhost:9000"),
    ] {
        let said = refused(url, name, value);
        let begin = format!("the environment variable {name} is `{value}`: it has to begin with");
        assert!(said.contains(&begin), "{said}");
    }
    for (url, name, value) in [
        ("s3://bucket/x", "AWS_ENDPOINT_URL", "AKID:TOPSECRET@host"),
        ("s3://bucket/x", "AWS_ALLOW_HTTP", "TOPSECRET"),
        (
            "gs://bucket/x",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "\"TOPSECRET\"",
        ),
    ] {
        let said = refused(url, name, value);
        assert!(!said.contains("TOPSECRET"), "{said}");
    }
    // What is another vendor's does no harm.
    let other = [("AWS_ENDPOINT_URL".to_owned(), "localhost:9000".to_owned())];
    Objects::open("https://host/x", other).expect("it is not asked for");
}

#[test]
fn webdav_is_read_only_and_says_so() {
    let store = Waited::open("https://example.org/history", &[]);
    let error = store
        .capabilities()
        .check_offload()
        .expect_err("it is read-only");
    assert!(
        error.to_string().contains("cannot refuse to overwrite"),
        "{error}"
    );
}

#[test]
fn a_url_that_names_no_store_is_refused_with_what_would_do() {
    let refused = |url: &str| Objects::open(url, []).expect_err("it is refused");
    for (url, why) in [
        ("history", "does not name an object store: relative URL"),
        (
            "ftp://host/x",
            "does not name an object store: its scheme is unknown",
        ),
        (
            "file://tmp/out",
            "`tmp` stands where a host would, and files are those of this machine; a path begins with a third slash",
        ),
        (
            "s3:///h",
            "does not name an object store: it names no bucket",
        ),
        (
            "az:///h",
            "does not name an object store: it names no container",
        ),
        ("memory:///x", "history is not kept in such a store"),
        ("file:///no/such/place", "is not a directory: No such file"),
        ("file:///etc/hostname", "is not a directory: it is a file"),
    ] {
        let said = refused(url).to_string();
        assert!(said.contains(why), "{url}: {said}");
    }
    for url in [
        "s3://user:pa#secret@bucket",
        "AKID:secret@bucket",
        "s3:user:secret@bucket",
        "s3://AKID:secret/bucket",
        "s3:///AKID:secret/bucket",
        "s3:/AKID:secret/bucket",
    ] {
        let error = refused(url);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
    for url in [
        "s3://AKID:secret@bucket/x",
        "s3://AKID@bucket/x",
        "https://user:secret@host/x",
        "https://host/x?sig=secret",
    ] {
        let error = refused(url);
        assert!(matches!(error, OpenError::Credentials), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
