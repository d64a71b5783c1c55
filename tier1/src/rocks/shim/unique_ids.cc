// Takes the place of RocksDB's `env/unique_id_gen.cc` in builds that host RocksDB.
//
// Each time a database is opened, RocksDB draws an identifier for that session and writes it into
// every table and into the manifest. It draws from the machine's entropy, past the environment that
// a database was given. So this file defines the same functions: the linker takes the first
// definition that it meets, and that of RocksDB's archive is left out. Both at once would be refused
// as a duplicate, so a version of RocksDB with a function more is noticed at the first build.
//
// A session is named after a number of the host's if it has given one for this thread, and drawn from
// the machine's entropy if not.

#include "env/unique_id_gen.h"

#include <random>

#include "shim.h"

namespace {

// 0: draw; otherwise the number to name sessions after.
thread_local uint64_t session = 0;
// How many names this thread has given since that was set.
thread_local uint64_t named = 0;

uint64_t Draw64() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

extern "C" void hstore_name_sessions(uint64_t after) noexcept {
  session = after;
  named = 0;
}

namespace ROCKSDB_NAMESPACE {

void GenerateRawUniqueId(uint64_t* a, uint64_t* b, bool) {
  *a = Draw64();
  *b = Draw64();
}

void SemiStructuredUniqueIdGen::Reset() {
  saved_process_id_ = port::GetProcessID();
  GenerateRawUniqueId(&base_upper_, &base_lower_);
  counter_ = 0;
}

void SemiStructuredUniqueIdGen::GenerateNext(uint64_t* upper, uint64_t* lower) {
  if (session != 0) {
    *upper = session;
    *lower = ++named;
  } else if (port::GetProcessID() == saved_process_id_) {
    *upper = base_upper_;
    *lower = base_lower_ ^ counter_.fetch_add(1);
  } else {
    GenerateRawUniqueId(upper, lower);
  }
}

void UnpredictableUniqueIdGen::Reset() {
  for (auto& part : pool_) {
    part = Draw64();
  }
  counter_ = 0;
}

void UnpredictableUniqueIdGen::GenerateNext(uint64_t* upper, uint64_t* lower) {
  GenerateRawUniqueId(upper, lower);
}

void UnpredictableUniqueIdGen::GenerateNextWithEntropy(uint64_t* upper, uint64_t* lower,
                                                       uint64_t) {
  GenerateRawUniqueId(upper, lower);
}

}  // namespace ROCKSDB_NAMESPACE
