// The boundary between RocksDB and whoever hosts it: a table of functions for the files, and the
// few entry points that the host calls, which end the process rather than throw.
// `tier1/src/rocks/hosted/table.rs` and `env.rs` declare the same in Rust.

#pragma once

#include <cstddef>
#include <cstdint>

#include "rocksdb/c.h"

extern "C" {

// How an operation of the port ended. Zero is success.
enum HstoreOutcome : int32_t {
  kHstoreDone = 0,
  kHstoreNotFound = 1,
  kHstoreExists = 2,
  kHstoreLocked = 3,
  kHstoreNoSpace = 4,
  kHstoreIo = 5,
};

// Text or bytes that are lent for the time of a call.
struct HstoreBytes {
  const char* data;
  size_t size;
};

// Why an operation failed, in words. The callee writes at most `sizeof(text)` bytes.
struct HstoreFailure {
  size_t size;
  char text[248];
};

// What a path leads to.
struct HstorePathKind {
  bool is_directory;
  uint64_t length;
};

// The port. Every function but `drop` may be called from one thread at a time; none throws.
struct HstoreFiles {
  void* context;
  void (*drop)(void* context);
  int32_t (*create)(void*, HstoreBytes path, uint64_t* file, HstoreFailure*);
  int32_t (*open)(void*, HstoreBytes path, uint64_t* file, HstoreFailure*);
  void (*close)(void*, uint64_t file);
  int32_t (*append)(void*, uint64_t file, HstoreBytes data, HstoreFailure*);
  int32_t (*read_at)(void*, uint64_t file, uint64_t offset, char* into, size_t length, size_t* read,
                     HstoreFailure*);
  int32_t (*len)(void*, uint64_t file, uint64_t* length, HstoreFailure*);
  int32_t (*truncate)(void*, uint64_t file, uint64_t length, HstoreFailure*);
  int32_t (*sync)(void*, uint64_t file, HstoreFailure*);
  int32_t (*range_sync)(void*, uint64_t file, uint64_t offset, uint64_t length, HstoreFailure*);
  int32_t (*look_up)(void*, HstoreBytes path, HstorePathKind*, HstoreFailure*);
  int32_t (*rename)(void*, HstoreBytes from, HstoreBytes to, HstoreFailure*);
  int32_t (*link)(void*, HstoreBytes from, HstoreBytes to, HstoreFailure*);
  int32_t (*remove)(void*, HstoreBytes path, HstoreFailure*);
  int32_t (*create_dir)(void*, HstoreBytes path, HstoreFailure*);
  int32_t (*remove_dir)(void*, HstoreBytes path, HstoreFailure*);
  int32_t (*list)(void*, HstoreBytes path, void* names, void (*add)(void* names, HstoreBytes name),
                  HstoreFailure*);
  int32_t (*sync_dir)(void*, HstoreBytes path, HstoreFailure*);
  int32_t (*lock)(void*, HstoreBytes path, uint64_t* lock, HstoreFailure*);
  void (*unlock)(void*, uint64_t lock);
};

// An environment in which RocksDB does nothing but what its host sees: files through the table,
// which it takes over; a clock that stands still at `now_micros`; no threads. What RocksDB would
// do in the background waits for `hstore_env_run_one`. `identity` takes the place of random identifiers.
// It is freed with `rocksdb_env_destroy`.
rocksdb_env_t* hstore_env_create(const HstoreFiles* files, uint64_t now_micros,
                                 uint64_t identity) noexcept;

// What a job is.
enum HstoreJob : int32_t {
  kHstoreNoJob = 0,
  kHstoreFlush = 1,
  kHstoreCompaction = 2,
};

// Does on the calling thread the first thing that was put off, and says what it was. The caller is in
// no other call of the same database.
int32_t hstore_env_run_one(rocksdb_env_t* env) noexcept;

// Makes the databases that this thread opens from now on name their sessions after `session`; zero
// ends that.
void hstore_name_sessions(uint64_t session) noexcept;

// Does nothing. A call of it has the linker take RocksDB's timer from here.
void hstore_without_timer() noexcept;

// What RocksDB is told of an outcome: its status code and subcode, and whether to try again.
void hstore_describe_outcome(int32_t outcome, int32_t* code, int32_t* subcode,
                             bool* retryable) noexcept;

}  // extern "C"
