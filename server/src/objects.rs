//! The object-store port on real stores, each named by a URL.
//!
//! | URL | store |
//! |---|---|
//! | `file:///path` | a directory, which must be there |
//! | `s3://bucket/path` | S3, and what speaks its protocol (`AWS_ENDPOINT_URL`) |
//! | `gs://bucket/path` | Google Cloud Storage |
//! | `az://container/path` | Azure |
//! | `https://host/path` | WebDAV: read-only |
//!
//! Credentials come from the environment, or from the files that it names, as each vendor documents it
//! (`AWS_ACCESS_KEY_ID` and so on, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_KEY`), or from the
//! machine the program runs on. A URL that has some in it is refused, and none of them is ever told: what stores
//! answer in words is not passed on.
//!
//! A call is made once. Whoever asks knows what may be asked again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use hstore_core::WallTime;
use hstore_core::ports::object_store::{
    Capabilities, Listed, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode,
    PutOptions, RetryConfig,
};
use url::Url;

/// A page of a list has no more objects than this.
const PAGE: usize = 1_000;
/// What an interrupted put has left is removed once it is so old.
const LEFT_FOR: Duration = Duration::from_secs(3_600);
/// A call that takes longer has failed; one that moves bytes has more time, as a link may be slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many bytes have a second more.
const SLOWEST_PER_SECOND: u64 = 256 << 10;
/// So much of what a store says is passed on, in characters.
const DETAIL_MAX: usize = 200;

/// An object store.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Keys lie below this.
    root: Path,
    capabilities: Capabilities,
    /// Lists come sorted by key, page by page.
    lists_in_order: bool,
}

/// Without what the store's client knows: credentials.
impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("root", &self.root)
            .field("capabilities", &self.capabilities)
            .finish_non_exhaustive()
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not a URL, or not one of a store.
    #[error(
        "`{url}` does not name an object store: {why}. Examples: file:///srv/history, s3://bucket/history, gs://bucket/history, az://container/history, https://host/history"
    )]
    Url {
        /// As it was given, without what may be secret.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// It has credentials in it.
    #[error(
        "the URL of the object store has credentials in it; leave them out, and set them in the environment (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    )]
    Credentials,
    /// The directory is not there.
    #[error(
        "the object store `{path}` is not a directory: {why}; create it, or mount what is to be there"
    )]
    Directory {
        /// Where it should be.
        path: String,
        /// In the system's words.
        why: String,
    },
    /// Something is missing that the store needs to be told.
    #[error("the object store `{url}` cannot be opened: {why}")]
    Setup {
        /// Which store.
        url: String,
        /// What is wrong.
        why: String,
    },
}

/// Options of stores' clients that are URLs. At what is none the clients panic.
const ENDPOINTS: [&str; 8] = [
    "aws_endpoint",
    "aws_endpoint_url_s3",
    "aws_endpoint_url_sts",
    "aws_metadata_endpoint",
    "aws_container_credentials_full_uri",
    "azure_storage_endpoint",
    "azure_msi_endpoint",
    "google_base_url",
];

/// Tells a builder what the environment says of its kind of store, or says what cannot be.
macro_rules! configured {
    ($builder:expr, $key:ty, $prefix:literal, $environment:expr, $refuse:expr) => {{
        let mut builder = $builder;
        for (name, value) in $environment {
            if name.starts_with($prefix)
                && let Ok(key) = name.to_ascii_lowercase().parse::<$key>()
            {
                if ENDPOINTS.contains(&key.as_ref()) && !is_endpoint(&value) {
                    return Err($refuse(format!(
                        "the environment variable {name} is `{}`: it has to begin with http:// or https:// and to name a host, for example http://127.0.0.1:9000",
                        plain(&value)
                    )));
                }
                builder = builder.with_config(key, value);
            }
        }
        builder
    }};
}

impl Objects {
    /// The store that `url` names, with what the environment says of it: [`environment`]. It is not asked
    /// anything yet.
    ///
    /// # Errors
    /// If the URL names none, or something is missing that the store needs to be told.
    pub fn open(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OpenError> {
        let environment: Vec<(String, String)> = environment.into_iter().collect();
        let is_ours = |name: &str| {
            ["AWS_", "GOOGLE_", "AZURE_"]
                .iter()
                .any(|it| name.starts_with(it))
        };
        let broken = |(_, value): &&(String, String)| value.chars().any(char::is_control);
        let setup = |why: String| OpenError::Setup {
            url: plain(url),
            why,
        };
        if let Some((name, _)) = environment.iter().filter(|it| is_ours(&it.0)).find(broken) {
            return Err(setup(format!(
                "the environment variable {name} has a line break in it, or what else is no part of a text; set it without"
            )));
        }
        let parsed = Url::parse(url).map_err(|error| OpenError::Url {
            url: plain(url),
            why: error.to_string(),
        })?;
        // The account stands before the `@` of some of Azure's URLs; a password never does.
        let is_azure = parsed.scheme().starts_with("abfs") || parsed.scheme() == "az";
        let has_user = !parsed.username().is_empty() && !is_azure;
        if parsed.password().is_some() || has_user || parsed.query().is_some() {
            return Err(OpenError::Credentials);
        }
        let wrong = |why: String| OpenError::Url {
            url: plain(url),
            why,
        };
        let failed = |error: Error| setup(said(&error));
        let (scheme, path) =
            ObjectStoreScheme::parse(&parsed).map_err(|_| wrong(misnamed(&parsed)))?;
        // How long a call may take is seen to here.
        let client = ClientOptions::new().with_timeout_disabled();
        let retry = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let mut capabilities = Capabilities::ALL;
        let mut root = path;
        let mut lists_in_order = true;
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Local => {
                root = Path::default();
                lists_in_order = false;
                Arc::new(directory(&parsed)?)
            }
            ObjectStoreScheme::AmazonS3 => {
                let builder = AmazonS3Builder::new().with_client_options(client);
                let builder = configured!(builder, AmazonS3ConfigKey, "AWS_", environment, setup);
                let builder = builder.with_url(url).with_retry(retry);
                // A directory bucket (S3 Express One Zone) lists in no order.
                let is_express = builder.get_config_value(&AmazonS3ConfigKey::S3Express);
                lists_in_order = is_express.as_deref() == Some("false");
                Arc::new(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let builder = GoogleCloudStorageBuilder::new().with_client_options(client);
                let builder = configured!(builder, GoogleConfigKey, "GOOGLE_", environment, setup);
                let builder = builder.with_url(url).with_retry(retry);
                Arc::new(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let builder = MicrosoftAzureBuilder::new().with_client_options(client);
                let builder = configured!(builder, AzureConfigKey, "AZURE_", environment, setup);
                let builder = builder.with_url(url).with_retry(retry);
                Arc::new(builder.build().map_err(failed)?)
            }
            ObjectStoreScheme::Http => {
                // WebDAV has no put that spares what is there.
                capabilities.put_if_absent = false;
                lists_in_order = false;
                let builder = HttpBuilder::new().with_url(&parsed[..url::Position::BeforePath]);
                let builder = builder.with_client_options(client.with_allow_http(true));
                Arc::new(builder.with_retry(retry).build().map_err(failed)?)
            }
            _ => return Err(wrong("history is not kept in such a store".to_owned())),
        };
        Ok(Self {
            store,
            root,
            capabilities,
            lists_in_order,
        })
    }

    /// What the store can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Asks the store. A call that takes too long is answered with "nobody knows"; it may be carried out all the
    /// same.
    ///
    /// # Errors
    /// As [the port](hstore_core::ports::object_store) has it.
    pub async fn call(&self, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError> {
        let call = async {
            match self.answer(ask).await {
                Ok(answer) => Ok(answer),
                Err(error) => Err(self.failed(ask, &error).await),
            }
        };
        let patience = patience(ask);
        let answer = tokio::time::timeout(patience, call).await;
        answer.unwrap_or_else(|_| {
            let why = format!("there was no answer for {} s", patience.as_secs());
            Err(ObjectError::of(ask, ObjectErrorKind::Unavailable, why))
        })
    }

    async fn answer(&self, ask: &ObjectAsk) -> Result<ObjectAnswer, Error> {
        match ask {
            ObjectAsk::PutIfAbsent { key, bytes } => {
                let options = PutOptions::from(PutMode::Create);
                let path = self.path(key);
                let put = self.store.put_opts(&path, bytes.clone().into(), options);
                put.await.map(|_| ObjectAnswer::Put)
            }
            ObjectAsk::Get { key, range } => {
                let path = self.path(key);
                let got = self.store.get_range(&path, range.clone());
                got.await.map(ObjectAnswer::Got)
            }
            ObjectAsk::List { prefix, after } => self.list(prefix, after.as_ref()).await,
            ObjectAsk::Delete { key } => match self.store.delete(&self.path(key)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(ObjectAnswer::Deleted),
                Err(error) => Err(error),
            },
        }
    }

    async fn list(
        &self,
        prefix: &ObjectKey,
        after: Option<&ObjectKey>,
    ) -> Result<ObjectAnswer, Error> {
        let below = self.path(prefix);
        let found = match after {
            Some(after) => self.store.list_with_offset(Some(&below), &self.path(after)),
            None => self.store.list(Some(&below)),
        };
        // What has no key of ours is none of our objects.
        let found = found.try_filter_map(async |meta| Ok(self.listed(&meta)));
        let mut objects: Vec<Listed> = if self.lists_in_order {
            let page = futures_util::StreamExt::take(found, PAGE + 1);
            page.try_collect().await?
        } else {
            let mut all: Vec<Listed> = found.try_collect().await?;
            all.sort_by(|a, b| a.key.cmp(&b.key));
            all
        };
        let more = objects.len() > PAGE;
        objects.truncate(PAGE);
        Ok(ObjectAnswer::Listed { objects, more })
    }

    fn listed(&self, meta: &ObjectMeta) -> Option<Listed> {
        let parts = meta.location.prefix_match(&self.root)?;
        let parts: Vec<String> = parts.map(|it| it.as_ref().to_owned()).collect();
        let millis = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
        Some(Listed {
            key: parts.join("/").parse().ok()?,
            bytes: meta.size,
            put_at: WallTime(millis),
        })
    }

    fn path(&self, key: &ObjectKey) -> Path {
        let below = self
            .root
            .parts()
            .chain(key.as_str().split('/').map(Into::into));
        below.collect()
    }

    async fn failed(&self, ask: &ObjectAsk, error: &Error) -> ObjectError {
        use ObjectErrorKind::{BehindEnd, Denied, Exists, NotFound, Unavailable, Unsupported};
        let fail = |kind, detail: String| ObjectError::of(ask, kind, detail);
        match error {
            Error::NotFound { .. } => fail(NotFound, "there is no such object".into()),
            Error::AlreadyExists { .. } | Error::Precondition { .. } => {
                fail(Exists, "there is an object already".into())
            }
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                let why = "access was refused; check the credentials in the environment, and their rights";
                fail(Denied, why.into())
            }
            Error::NotSupported { .. } | Error::NotImplemented { .. } => {
                fail(Unsupported, "the store cannot do that".into())
            }
            other => {
                // Stores have several ways to say that a range begins behind the end.
                if let ObjectAsk::Get { key, range } = ask
                    && let Ok(meta) = self.store.head(&self.path(key)).await
                    && meta.size <= range.start
                {
                    return fail(BehindEnd, format!("it ends at byte {}", meta.size));
                }
                fail(Unavailable, said(other))
            }
        }
    }
}

/// What the environment says, for [`Objects::open`]: what is no text cannot be meant for it.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let texts = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(texts)
}

/// Removes what puts have left that were interrupted: files beside those of objects, `KEY#1` and so on, which the
/// store's client lists to nobody. What is young may be under way.
fn sweep(directory: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            sweep(&path);
            continue;
        }
        let name = entry.file_name();
        let part = name.to_str().and_then(|it| it.rsplit_once('#'));
        let is_part = part.is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit())
        });
        let age = meta.modified().ok().and_then(|it| it.elapsed().ok());
        if is_part && age.is_some_and(|age| age > LEFT_FOR) {
            // Another node may be at it, too.
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// The directory that a `file` URL names.
fn directory(url: &Url) -> Result<LocalFileSystem, OpenError> {
    let wrong = |path: String, why: String| OpenError::Directory { path, why };
    let path = url.to_file_path().map_err(|()| {
        wrong(
            url.path().to_owned(),
            "the URL names another host".to_owned(),
        )
    })?;
    let shown = path.display().to_string();
    let is_directory = std::fs::metadata(&path).map(|it| it.is_dir());
    match is_directory {
        Ok(true) => {}
        Ok(false) => return Err(wrong(shown, "it is a file".to_owned())),
        Err(error) => return Err(wrong(shown, error.to_string())),
    }
    sweep(&path);
    let store = LocalFileSystem::new_with_prefix(path);
    let store = store.map_err(|error| wrong(shown, said(&error)))?;
    // What was put stays, whatever happens to the machine.
    Ok(store.with_fsync(true))
}

/// Why a URL names no store.
fn misnamed(url: &Url) -> String {
    match (url.scheme(), url.host_str()) {
        ("file", Some(host)) => format!(
            "`{host}` stands where a host would, and files are those of this machine; a path begins with a third slash"
        ),
        ("s3" | "s3a" | "gs", None) => "it names no bucket".to_owned(),
        ("az" | "adl" | "azure" | "abfs" | "abfss", None) => "it names no container".to_owned(),
        _ if Path::from_url_path(url.path()).is_err() => {
            "its path cannot be that of an object".to_owned()
        }
        _ => "its scheme is unknown".to_owned(),
    }
}

/// Whether it is a URL that a store's client can call.
fn is_endpoint(text: &str) -> bool {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    is_http && text.bytes().all(|it| it.is_ascii_graphic()) && Url::parse(text).is_ok()
}

/// How long an answer is waited for.
fn patience(ask: &ObjectAsk) -> Duration {
    let bytes = match ask {
        ObjectAsk::PutIfAbsent { bytes, .. } => bytes.len() as u64,
        ObjectAsk::Get { range, .. } => range.end.saturating_sub(range.start),
        ObjectAsk::List { .. } | ObjectAsk::Delete { .. } => 0,
    };
    PATIENCE + Duration::from_secs(bytes / SLOWEST_PER_SECOND)
}

/// A URL without what may be secret in it.
#[must_use]
pub fn plain(url: &str) -> String {
    // Whatever stands before an `@` may be a password, wherever it was meant to stand.
    if url.contains('@') {
        return "(a URL with an `@`)".to_owned();
    }
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    // And so may what stands behind a colon, unless it is a port.
    let behind_scheme = shown.split_once(':').map_or(shown, |(_, rest)| rest);
    let is_plain = |part: &str| {
        let port = part.rsplit_once(':').map_or("", |(_, port)| port);
        part.ends_with(']') || port.bytes().all(|it| it.is_ascii_digit())
    };
    if !behind_scheme.split('/').all(is_plain) {
        return "(a URL with a port that is none)".to_owned();
    }
    shown.to_owned()
}

/// What an error says, without what the store said: that may name keys and signatures.
fn said(error: &Error) -> String {
    let text = error.to_string();
    // What is quoted may be from the environment, or from a file of credentials.
    let ends = ['<', '{', '\n', '?', '"', '\'', '`'];
    let head = text.split(ends).next().unwrap_or_default();
    // A URL may have credentials in it, as that of an endpoint.
    let head = head.split("://").next().unwrap_or_default();
    let head = head.strip_suffix("https").unwrap_or(head);
    let head = head.strip_suffix("http").unwrap_or(head);
    let head = head.trim_end_matches([':', ' ']);
    let head: String = head.chars().take(DETAIL_MAX).collect();
    match cause(error, &text) {
        Some(cause) if !head.contains(&cause) => format!("{head}: {cause}"),
        _ => head,
    }
}

/// Why a call failed, in the system's words or ours: neither tells what the store said.
fn cause(error: &Error, text: &str) -> Option<String> {
    let first: &(dyn std::error::Error + 'static) = error;
    let links = std::iter::successors(Some(first), |it| it.source());
    let told = links.filter_map(|it| {
        if let Some(error) = it.downcast_ref::<std::io::Error>() {
            return error.raw_os_error().map(|_| error.to_string());
        }
        let told = match it.downcast_ref::<HttpError>()?.kind() {
            HttpErrorKind::Connect => "it cannot be reached",
            HttpErrorKind::Timeout => "it does not answer in time",
            HttpErrorKind::Request | HttpErrorKind::Interrupted => "the connection was lost",
            HttpErrorKind::Decode => "its answer cannot be read",
            _ => return None,
        };
        Some(told.to_owned())
    });
    let status = || {
        let (_, told) = text.split_once("status code: ")?;
        let number: u16 = told.get(..3)?.parse().ok()?;
        Some(format!("it answered with status {number}"))
    };
    // The last link knows best.
    told.last().or_else(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_bucket_is_not_taken_to_list_in_order() {
        for (said, expected) in [(None, true), (Some("true"), false), (Some("1"), false)] {
            let said = said.map(|it| ("AWS_S3_EXPRESS".to_owned(), it.to_owned()));
            let region = ("AWS_REGION".to_owned(), "eu-central-1".to_owned());
            let objects = Objects::open(
                "s3://bucket--euc1-az1--x-s3/x",
                said.into_iter().chain([region]),
            );
            let objects = objects.expect("it can be opened");
            assert_eq!(objects.lists_in_order, expected);
        }
    }
}
