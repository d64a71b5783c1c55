//! Compiles the C++ that hosting RocksDB takes, if hosting is asked for.

fn main() {
    #[cfg(feature = "hosted")]
    shim::build();
}

#[cfg(feature = "hosted")]
mod shim {
    use std::env;
    use std::path::Path;

    const DIRECTORY: &str = "src/rocks/shim";
    const SOURCES: [&str; 4] = ["env.cc", "files.cc", "timer.cc", "unique_ids.cc"];

    /// Set by `scripts/sanitize.sh`: compile the shim and link the tests with these sanitizers.
    const SANITIZE: &str = "HSTORE_SANITIZE";

    pub(crate) fn build() {
        println!("cargo::rerun-if-changed={DIRECTORY}");
        println!("cargo::rerun-if-env-changed={SANITIZE}");
        let variable = "DEP_ROCKSDB_CARGO_MANIFEST_DIR";
        let crate_directory = env::var(variable)
            .unwrap_or_else(|_| panic!("librocksdb-sys says in {variable} where its sources are"));
        let rocksdb = Path::new(&crate_directory).join("rocksdb");
        let mut shim = cc::Build::new();
        shim.cpp(true)
            .std("c++20")
            // As RocksDB itself: its types have no run-time information.
            .flag("-fno-rtti")
            .warnings(true)
            .warnings_into_errors(false)
            .files(SOURCES.map(|source| Path::new(DIRECTORY).join(source)))
            .include(DIRECTORY)
            .define("NDEBUG", None);
        for include in [rocksdb.join("include"), rocksdb] {
            shim.flag("-isystem")
                .flag(include.to_str().expect("a path of text"));
        }
        // What RocksDB's own build says of the platform, for `port/port.h`.
        let system = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
            Ok("linux") => "OS_LINUX",
            Ok("macos") => "OS_MACOSX",
            other => panic!("RocksDB is hosted on Linux and macOS, not on {other:?}"),
        };
        for define in [system, "ROCKSDB_PLATFORM_POSIX", "ROCKSDB_LIB_IO_POSIX"] {
            shim.define(define, None);
        }
        if let Ok(sanitizers) = env::var(SANITIZE) {
            // `vptr` needs run-time type information.
            for flag in [
                &format!("-fsanitize={sanitizers}"),
                "-fno-sanitize=vptr",
                "-fno-sanitize-recover=all",
                "-fno-omit-frame-pointer",
                "-g",
            ] {
                shim.flag(flag);
            }
            // rustc links without the compiler's default libraries.
            for library in ["asan", "ubsan"] {
                println!("cargo::rustc-link-arg=-l{library}");
            }
        }
        shim.compile("hstore_shim");
    }
}
